"""Check: resolve a recipe of any kind and plan what it would cost, without running anything."""
