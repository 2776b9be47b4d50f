//! What goes wrong between here and a remote.

use std::io;

use super::stop::Stopped;
use crate::{disk::checked_json::Broken, error::StoreError};

/// Why a request to a remote came to nothing. Its text goes to people: it never has an address with a signature in it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// The remote knows us, and does not let us, or does not know us.
    #[error("{status} from the remote: {}", refused(*status, said, *minutes_apart))]
    Refused {
        /// 401 or 403.
        status: u16,
        /// What the remote said of it, in a word.
        said: String,
        /// How far its clock is from ours, if that is too far: signatures are good for minutes.
        minutes_apart: Option<u64>,
    },
    /// Another status than was hoped for.
    #[error("{status} from the remote{}", if detail.is_empty() { String::new() } else { format!(": {detail}") })]
    Status {
        /// The HTTP status.
        status: u16,
        /// What the remote said of it, in a word.
        detail: String,
    },
    /// It said nothing for longer than the timeout.
    #[error("the remote was silent for too long")]
    Silent,
    /// The connection could not be made, or broke.
    #[error("the connection failed: {0}")]
    Broken(String),
    /// What arrived is not what was asked for.
    #[error("what the remote sent is damaged: {0}")]
    Damaged(String),
    /// A newer version has written it, in this format. It is left as it is.
    #[error("a newer version of pipe wrote it (format {0}); update this one to use it")]
    Newer(u32),
    /// The remote cannot do this at all.
    #[error("this kind of remote cannot {0}")]
    Unable(&'static str),
    /// Something here failed: the disk is full, an artifact is damaged.
    #[error(transparent)]
    Local(#[from] StoreError),
    /// This program panicked over it.
    #[error("this program panicked over it: {0}")]
    Panicked(String),
    /// It has failed so often that it is left alone.
    #[error("the remote has failed too often, and is left alone")]
    LeftAlone,
    /// Nobody wants it any more.
    #[error("the run was cancelled")]
    Cancelled,
}

fn refused(status: u16, said: &str, minutes_apart: Option<u64>) -> String {
    let why = match (status, minutes_apart) {
        (_, Some(minutes)) => {
            &*format!("its clock and this machine's are {minutes} minutes apart, and signatures are good for a few")
        }
        (401, None) => "it does not know the credentials",
        _ => "the credentials do not allow it (a bucket that may not be listed says so of what is missing, too)",
    };
    if said.is_empty() { why.to_owned() } else { format!("{said}: {why}") }
}

impl Fault {
    /// A refusal of which nothing more is known.
    pub(super) fn forbidden() -> Self {
        Self::Refused { status: 403, said: String::new(), minutes_apart: None }
    }

    /// Whether asking again may help.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Status { status, .. } => matches!(status, 408 | 409 | 425 | 429) || *status >= 500,
            Self::Broken(_) | Self::Damaged(_) => true,
            // Asking again would cost the same time again.
            Self::Silent => false,
            Self::Refused { .. } | Self::Newer(_) | Self::Unable(_) | Self::Panicked(_) => false,
            Self::Local(_) | Self::LeftAlone | Self::Cancelled => false,
        }
    }

    /// Whether it is a failure of the remote at all.
    pub(super) fn is_the_remotes(&self) -> bool {
        !matches!(self, Self::Local(_) | Self::LeftAlone | Self::Cancelled)
    }

    /// How much it says against the remote, where [`ENOUGH`] is enough to leave it alone.
    pub(super) fn weight(&self) -> u32 {
        match self {
            Self::Silent | Self::Refused { .. } => 2,
            Self::Status { .. } | Self::Broken(_) => 1,
            // One damaged object says nothing of the others.
            Self::Damaged(_) | Self::Newer(_) | Self::Unable(_) | Self::Panicked(_) => 0,
            Self::Local(_) | Self::LeftAlone | Self::Cancelled => 0,
        }
    }

    /// A failure of the connection.
    pub(super) fn broken(error: &io::Error) -> Self {
        match error.kind() {
            _ if Stopped::is(error) => Self::Cancelled,
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Self::Silent,
            _ => Self::Broken(without_query(&error.to_string())),
        }
    }
}

impl From<Broken> for Fault {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Damaged(reason) => Self::Damaged(reason),
            Broken::Future(format) => Self::Newer(format),
        }
    }
}

/// Failures of this weight in succession, and the remote is left alone.
pub(super) const ENOUGH: u32 = 6;

/// A text without what stands behind the `?` of an address: signatures do.
pub(super) fn without_query(text: &str) -> String {
    let word = |word: &str| match word.split_once('?') {
        Some((address, _)) if word.contains("://") || word.contains("X-Amz") => format!("{address}?..."),
        _ => word.to_owned(),
    };
    text.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::without_query;

    #[test]
    fn signatures_are_left_out_of_what_people_read() {
        let said = "bad uri: http://host/b/v1?X-Amz-Signature=abc&X-Amz-Credential=KEY no";
        assert_eq!(without_query(said), "bad uri: http://host/b/v1?... no");
        assert_eq!(without_query("what? nothing"), "what? nothing");
    }
}
