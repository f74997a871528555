"""Solutions of portfolio problems: pure functions on arrays that know no process and no policy."""
