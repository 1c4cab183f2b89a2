"""Queries about stored studies, for their page."""

from __future__ import annotations

from typing import Final

CURVE_POINTS: Final = 60
"""Points of a training curve; the steps between them are averaged."""

KNOWN: Final = """
SELECT run_id, study_id, name, recipe FROM studies ORDER BY created_at DESC, study_id
"""
FINISHED: Final = """
SELECT arm, budget, samples, seed, evaluation_id FROM study_trials
WHERE run_id = $run AND study_id = $study AND status = 'done' ORDER BY samples, arm, seed
"""
PAGE_KNOWN: Final = """
SELECT run_id, study_id, name FROM studies WHERE $run IS NULL OR run_id = $run
ORDER BY created_at DESC, study_id
"""
PAGE_STUDY: Final = """
SELECT * REPLACE (created_at::VARCHAR AS created_at, finished_at::VARCHAR AS finished_at)
FROM studies WHERE run_id = $run AND study_id = $study
"""
PAGE_TRIALS: Final = """
WITH passes AS (
    SELECT run_id, training_id, max(epoch) AS epochs FROM training_steps GROUP BY ALL
)
SELECT t.arm, t.budget, t.samples, t.seed, t.status, t.error, t.selection, t.training_id,
       t.evaluation_id, r.steps, r.samples AS seen, r.loss, r.seconds, p.epochs, r.contaminated
FROM study_trials t LEFT JOIN trainings r USING (run_id, training_id)
LEFT JOIN passes p USING (run_id, training_id)
WHERE t.run_id = $run AND t.study_id = $study ORDER BY t.seed
"""
PAGE_SCORES: Final = """
SELECT m.benchmark, t.arm, t.budget, t.samples, t.seed, m.value
FROM study_trials t JOIN metrics m USING (run_id, evaluation_id)
WHERE t.run_id = $run AND t.study_id = $study AND m.metric = 'accuracy' AND m.facet = 'all'
  AND coalesce(m.variant, 'original') = 'original' AND m.value IS NOT NULL
ORDER BY ALL
"""
PAGE_CURVES: Final = f"""
WITH steps AS (
    SELECT t.arm, t.budget, t.samples, s.step, s.loss,
           max(s.step) OVER (PARTITION BY t.arm, t.budget) AS last
    FROM study_trials t JOIN training_steps s USING (run_id, training_id)
    WHERE t.run_id = $run AND t.study_id = $study AND s.loss IS NOT NULL
)
SELECT arm, budget, samples, avg(step) AS step, avg(loss) AS loss FROM steps
GROUP BY arm, budget, samples, (step - 1) * {CURVE_POINTS} // last
ORDER BY step
"""
PAGE_RESULTS: Final = """
SELECT * EXCLUDE (run_id, study_id) FROM study_results
WHERE run_id = $run AND study_id = $study
"""
