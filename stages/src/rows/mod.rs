//! Rows of tables as the method's kinds see them: reading input columns, training and exam examples, yield tables,
//! words.

pub(crate) mod blind;
pub(crate) mod columns;
pub(crate) mod completed;
pub(crate) mod conversations;
pub(crate) mod corpus;
pub(crate) mod documents;
pub(crate) mod examples;
pub(crate) mod fewshot;
pub(crate) mod open_book;
pub(crate) mod ports;
pub(crate) mod quality;
pub(crate) mod reasoning;
pub(crate) mod scores;
pub(crate) mod seeds;
pub(crate) mod unanswered;
pub(crate) mod words;
pub(crate) mod yields;
