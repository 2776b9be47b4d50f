//! Models and data sets: where they differ in addresses and in the cache.

/// What a repository holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RepoKind {
    Model,
    Dataset,
}

impl RepoKind {
    /// As the hub's addresses and the cache's folders call them.
    pub(super) fn plural(self) -> &'static str {
        match self {
            Self::Model => "models",
            Self::Dataset => "datasets",
        }
    }

    /// What stands in front of a repository in the addresses of its files.
    pub(super) fn in_front(self) -> &'static str {
        match self {
            Self::Model => "",
            Self::Dataset => "datasets/",
        }
    }

    /// The same behind `hf:`, as it is written in a pipeline file.
    pub(super) fn written(self) -> &'static str {
        match self {
            Self::Model => "",
            Self::Dataset => "//datasets/",
        }
    }
}
