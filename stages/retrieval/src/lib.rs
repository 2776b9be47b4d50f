//! Retrieval over text passages: BM25, dense, hybrid.
