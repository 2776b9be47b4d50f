//! `s3://`: a bucket of S3, or of what speaks like it. Requests are signed in their addresses, by rusty-s3, which does
//! no I/O of its own.

use std::time::Duration;

use rusty_s3::{
    Bucket as Place, Credentials, S3Action, UrlStyle,
    actions::{DeleteObjectsResponse, ListObjectsV2, ObjectIdentifier},
};

use super::{
    RemoteError, RemoteOptions,
    access::Access,
    fault::{Fault, without_query},
    http::{Http, refusal, text},
    transport::{Answer, Content, Listed, Transport},
};

/// How long a signature is good for: requests are made at once, by clocks that differ.
const SIGNED_FOR: Duration = Duration::from_mins(15);
/// The longest listing of a thousand objects.
const MOST_LISTED: u64 = 8 << 20;

pub(super) struct Bucket {
    http: Http,
    place: Place,
    credentials: Option<Credentials>,
    /// Empty, or with a slash at its end.
    prefix: String,
}

impl Bucket {
    pub(super) fn new(options: &RemoteOptions, http: Http) -> Result<Self, RemoteError> {
        let wrong = |problem: String, help: &str| RemoteError { problem, help: help.to_owned() };
        let path = options.url.trim_start_matches("s3://").trim_matches('/');
        let (bucket, prefix) = path.split_once('/').unwrap_or((path, ""));
        if bucket.is_empty() {
            return Err(wrong(format!("the remote {} names no bucket", options.url), "write it as s3://bucket/prefix"));
        }
        let region = options.region.clone().unwrap_or_else(|| "us-east-1".to_owned());
        // Names with dots fit no certificate, and servers at other addresses rarely have names for buckets.
        let style =
            if options.endpoint.is_some() || bucket.contains('.') { UrlStyle::Path } else { UrlStyle::VirtualHost };
        let endpoint = options.endpoint.clone().unwrap_or_else(|| format!("https://s3.{region}.amazonaws.com"));
        let unusable = || {
            wrong(format!("the endpoint {} is no address", without_query(&endpoint)), "write it as https://host:port")
        };
        let address = endpoint.parse().map_err(|_| unusable())?;
        let place = Place::new(address, style, bucket.to_owned(), region).map_err(|_| unusable())?;
        let credentials = match &options.access {
            Access::Aws { key, secret, token: None } => Some(Credentials::new(key, secret.reveal())),
            Access::Aws { key, secret, token: Some(token) } => {
                Some(Credentials::new_with_token(key, secret.reveal(), token.reveal()))
            }
            _ => None,
        };
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        Ok(Self { http, place, credentials, prefix })
    }

    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    fn list_page(&self, action: &ListObjectsV2<'_>) -> Result<Vec<Listed>, Fault> {
        let url = action.sign(SIGNED_FOR);
        let response = self.http.send("GET", url.as_str(), &[], None)?;
        if !response.status().is_success() {
            return Err(refusal(response));
        }
        let unclear = |_| Fault::Damaged("its listing cannot be read".to_owned());
        let page = ListObjectsV2::parse_response(&text(response, MOST_LISTED)?).map_err(unclear)?;
        let listed = page.contents.into_iter().filter_map(|object| {
            let time = object.last_modified.as_deref().and_then(|t| chrono::DateTime::parse_from_rfc3339(t).ok());
            Some(Listed {
                name: object.key.strip_prefix(&self.prefix)?.to_owned(),
                bytes: object.size.unwrap_or(0),
                // One without a time is as good as new: it is not collected.
                written_ms: time.map_or(u64::MAX, |time| time.timestamp_millis().max(0) as u64),
            })
        });
        Ok(listed.collect())
    }
}

impl Transport for Bucket {
    fn head(&self, name: &str) -> Result<Option<u64>, Fault> {
        let key = self.key(name);
        let url = self.place.head_object(self.credentials.as_ref(), &key).sign(SIGNED_FOR);
        self.http.head(url.as_str(), &[])
    }

    fn get(&self, name: &str, from: u64) -> Result<Option<Answer>, Fault> {
        let key = self.key(name);
        let url = self.place.get_object(self.credentials.as_ref(), &key).sign(SIGNED_FOR);
        self.http.get(url.as_str(), &[], from)
    }

    fn put(&self, name: &str, content: &Content<'_>, only_new: bool) -> Result<bool, Fault> {
        let key = self.key(name);
        let url = self.place.put_object(self.credentials.as_ref(), &key).sign(SIGNED_FOR);
        self.http.put(url.as_str(), &[], content, only_new)
    }

    fn list(&self, prefix: &str, after: Option<&str>) -> Result<Vec<Listed>, Fault> {
        let (prefix, after) = (self.key(prefix), after.map(|after| self.key(after)));
        let mut action = self.place.list_objects_v2(self.credentials.as_ref());
        action.with_prefix(prefix);
        if let Some(after) = after {
            action.with_start_after(after);
        }
        self.list_page(&action)
    }

    fn cancel(&self) {
        self.http.cancel();
    }

    fn delete(&self, names: &[String]) -> Result<(), Fault> {
        let objects: Vec<ObjectIdentifier> = names.iter().map(|name| ObjectIdentifier::new(self.key(name))).collect();
        let mut action = self.place.delete_objects(self.credentials.as_ref(), objects.iter());
        action.set_quiet(true);
        let url = action.sign(SIGNED_FOR);
        let (body, md5) = action.body_with_md5();
        let headers = [("content-md5", md5.as_str()), ("content-type", "application/xml")];
        let response = self.http.send("POST", url.as_str(), &headers, Some(&Content::Bytes(body.as_bytes())))?;
        if !response.status().is_success() {
            return Err(refusal(response));
        }
        let said = text(response, MOST_LISTED)?;
        match DeleteObjectsResponse::parse(&said) {
            Ok(outcome) => match outcome.errors.first() {
                Some(error) if error.code == "AccessDenied" => Err(Fault::forbidden()),
                Some(error) => Err(Fault::Status { status: 200, detail: error.code.clone() }),
                None => Ok(()),
            },
            Err(_) => Err(Fault::Damaged("its answer cannot be read".to_owned())),
        }
    }
}
