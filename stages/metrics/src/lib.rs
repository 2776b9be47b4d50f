//! Text metrics (token F1, ROUGE-L, exact match) and bootstrap intervals.
