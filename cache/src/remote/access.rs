//! Who we are to a remote. What is secret is shown to nobody, not even in debug output.

use std::fmt;

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// Who we are to a remote.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Access {
    /// Nobody: a public bucket or server.
    #[default]
    Anonymous,
    /// Who has this token.
    Bearer(Secret),
    /// A user with a password.
    Basic {
        /// The user.
        user: String,
        /// The password.
        password: Secret,
    },
    /// An access key of S3.
    Aws {
        /// The key's id.
        key: String,
        /// The secret that signs requests.
        secret: Secret,
        /// Of temporary keys.
        token: Option<Secret>,
    },
}
