"""Learners that a probe may train; each has its settings and a file of its own."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from curation.probe.kernel_learner import KernelConfig
from curation.probe.network_learner import NetworkConfig

AnyLearner = Annotated[KernelConfig | NetworkConfig, Field(discriminator="kind")]
