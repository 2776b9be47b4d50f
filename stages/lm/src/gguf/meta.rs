//! Values of the metadata that we write.

/// A value of the metadata.
pub(super) enum Meta {
    Count(u32),
    Number(f32),
    Flag(bool),
    Text(String),
    Texts(Vec<String>),
    Numbers(Vec<f32>),
    Kinds(Vec<i32>),
}
