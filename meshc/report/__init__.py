"""Views of a run's report; reads its JSON only."""
