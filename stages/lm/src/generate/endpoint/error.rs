//! What can go wrong between here and a server. Keys never appear.

/// Errors of an endpoint. Messages complete "failed to ...".
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// The address cannot be used.
    #[error("use the endpoint `{url}`: {problem}")]
    Url {
        /// As configured.
        url: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The kind of server has no such parameter.
    #[error("use `{parameter}` with {server}: its OpenAI-compatible interface has no such parameter")]
    Unsupported {
        /// The server.
        server: &'static str,
        /// The parameter.
        parameter: &'static str,
    },
    /// The server refused a row, or went on failing.
    #[error("complete row `{row}` at {url}: the server answered {status} ({attempts} attempts): {body}")]
    Status {
        /// The row.
        row: String,
        /// Where the request went.
        url: String,
        /// HTTP status.
        status: u16,
        /// How often it was tried.
        attempts: u32,
        /// The beginning of the answer.
        body: String,
    },
    /// The server could not be reached, cut the connection, or took too long.
    #[error("complete row `{row}` at {url} ({attempts} attempts)")]
    Transport {
        /// The row.
        row: String,
        /// Where the request went.
        url: String,
        /// How often it was tried.
        attempts: u32,
        /// What happened at the last attempt.
        #[source]
        source: Box<ureq::Error>,
    },
    /// The server's answer is not what the interface promises.
    #[error("understand the answer for row `{row}` from {url} ({attempts} attempts): {problem}: {body}")]
    Answer {
        /// The row.
        row: String,
        /// Where the request went.
        url: String,
        /// How often it was tried.
        attempts: u32,
        /// What is wrong with it.
        problem: String,
        /// The beginning of the answer.
        body: String,
    },
    /// The server does not tell how probable a text is, or not of the text that it was asked about.
    #[error("learn from {url} how probable texts are: {problem}: {body}")]
    Unable {
        /// Where the request went.
        url: String,
        /// What is wrong with its answer.
        problem: String,
        /// The beginning of the answer.
        body: String,
    },
    /// The server does not tell which token stands in front of a text by itself.
    #[error("learn from {url} which token begins a text: its tokenizer puts none in front, and it names none")]
    NoFirstToken {
        /// The server.
        url: String,
    },
    /// The server asks for a longer pause than is allowed.
    #[error("complete row `{row}` at {url}: the server asks to wait {seconds} s, more than the {limit} s allowed")]
    Wait {
        /// The row.
        row: String,
        /// Where the request went.
        url: String,
        /// What the server asks for.
        seconds: u64,
        /// What is allowed.
        limit: u64,
    },
    /// A request about the server itself, or its adapters, came to nothing.
    #[error("{what} at {url}: {problem}")]
    Admin {
        /// What was asked for.
        what: &'static str,
        /// Where the request went.
        url: String,
        /// HTTP status, where there was an answer.
        status: Option<u16>,
        /// What the server said, or what happened on the way.
        problem: String,
    },
    /// A server that was started for the run has ended.
    #[error("go on with the server that was started: {0}")]
    Died(String),
    /// A worker thread could not be started, or died.
    #[error("run the endpoint's workers")]
    Worker(#[source] std::io::Error),
}
