//! The stage kinds that ship with pipe, one file each, and the registry that lists them.
