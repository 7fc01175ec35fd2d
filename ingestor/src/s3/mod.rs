//! Objects of one S3 bucket, put and read: three requests, signed by AWS's own crate. (The SDK for S3 takes longer to compile
//! than all the rest.) Never: what objects hold.

mod http;

use crate::config;
use crate::error::{Error, Kind, Result};
use aws_config::BehaviorVersion;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
    UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::Address;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode};
use md5::{Digest, Md5};
use std::time::SystemTime;

/// A bucket and what keys in it begin with.
#[derive(Debug, Clone)]
pub struct Bucket {
    name: String,
    prefix: String,
    address: Address,
    /// `/bucket`, where the bucket is no part of the host.
    path: String,
    region: String,
    credentials: SharedCredentialsProvider,
    lock: Option<Lock>,
}

/// How long an object cannot be deleted.
#[derive(Debug, Clone)]
pub struct Lock {
    /// GOVERNANCE or COMPLIANCE.
    pub mode: String,
    /// Days from when it is put.
    pub days: u32,
}

/// What became of an object that was to be put where none is.
#[derive(Debug, PartialEq, Eq)]
pub enum Put {
    /// It is there.
    Done,
    /// Another one was.
    Exists,
}

impl Bucket {
    /// Reads `s3://bucket/prefix` and the AWS configuration; connects to nothing.
    pub async fn new(url: &str, settings: &config::Audit) -> Result<Self> {
        let wrong = || Error::usage(format!("\"{url}\" is not s3://bucket/prefix"));
        let (name, prefix) = url
            .strip_prefix("s3://")
            .map(|rest| rest.split_once('/').unwrap_or((rest, "")))
            .ok_or_else(wrong)?;
        let is_plain = |text: &str, also: &str| {
            text.bytes().all(|b| b.is_ascii_alphanumeric() || also.as_bytes().contains(&b))
        };
        if name.len() < 3 || !is_plain(name, ".-") || !is_plain(prefix, "./_-") {
            return Err(wrong());
        }
        let mut loader = aws_config::defaults(BehaviorVersion::latest());
        if !settings.s3_region.is_empty() {
            loader = loader.region(aws_config::Region::new(settings.s3_region.clone()));
        }
        let shared = loader.load().await;
        let region = shared.region().map(ToString::to_string).unwrap_or_default();
        if region.is_empty() {
            return Err(Error::usage("no AWS region is configured: set audit.s3_region or AWS_REGION"));
        }
        let credentials =
            shared.credentials_provider().ok_or_else(|| Error::usage("no AWS credentials are configured"))?;
        let given = settings.s3_endpoint_url.as_str();
        let endpoint =
            if given.is_empty() { format!("https://s3.{region}.amazonaws.com") } else { given.to_owned() };
        let address = Address::parse(&endpoint)
            .ok_or_else(|| Error::usage("audit.s3_endpoint_url must be http:// or https:// and a host"))?;
        let in_path = settings.s3_path_style || name.contains('.');
        Ok(Self {
            address: if in_path { address } else { address.below(name) },
            path: if in_path { format!("/{name}") } else { String::new() },
            name: name.to_owned(),
            prefix: prefix.trim_end_matches('/').to_owned(),
            region,
            credentials,
            lock: settings.lock(),
        })
    }

    /// As people write it.
    pub fn url(&self, key: &str) -> String {
        format!("s3://{}/{}", self.name, self.key(key))
    }

    fn key(&self, key: &str) -> String {
        if self.prefix.is_empty() { key.to_owned() } else { format!("{}/{key}", self.prefix) }
    }

    /// Puts an object where none is, locked as configured.
    pub async fn put_new(&self, key: &str, text: &str) -> Result<Put> {
        let mut headers = vec![("if-none-match", "*".to_owned())];
        if let Some(lock) = &self.lock {
            let until = jiff::Timestamp::now()
                .checked_add(jiff::SignedDuration::from_hours(24 * i64::from(lock.days)))
                .map_err(|e| Error::usage(format!("audit.s3_lock_days: {e}")))?;
            headers.push(("x-amz-object-lock-mode", lock.mode.clone()));
            headers.push((
                "x-amz-object-lock-retain-until-date",
                until.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            ));
        }
        match self.put(key, text, &headers).await {
            Ok(()) => Ok(Put::Done),
            Err(error) if error.code.as_deref() == Some("PreconditionFailed") => Ok(Put::Exists),
            Err(error) => Err(error),
        }
    }

    /// Puts an object, in the place of what may be there.
    pub async fn put_over(&self, key: &str, text: &str) -> Result<()> {
        self.put(key, text, &[]).await
    }

    async fn put(&self, key: &str, text: &str, headers: &[(&str, String)]) -> Result<()> {
        // (a lock takes a checksum of the body)
        let md5 = STANDARD.encode(Md5::digest(text));
        let mut all = vec![("content-type", "text/plain; charset=utf-8"), ("content-md5", &md5)];
        all.extend(headers.iter().map(|(name, value)| (*name, value.as_str())));
        let path = format!("{}/{}", self.path, self.key(key));
        self.request(&Method::PUT, &path, &all, text).await.map(drop)
    }

    /// An object; `None` if there is none.
    pub async fn get(&self, key: &str) -> Result<Option<String>> {
        let path = format!("{}/{}", self.path, self.key(key));
        match self.request(&Method::GET, &path, &[], "").await {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.code.as_deref() == Some("NoSuchKey") => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The last key behind one, in the order of names, that `accept` takes.
    pub async fn last_after(&self, key: &str, accept: impl Fn(&str) -> bool) -> Result<Option<String>> {
        let (mut after, mut last) = (self.key(key), None);
        let prefix = self.key("");
        loop {
            let path = format!(
                "{}/?list-type=2&prefix={}&start-after={}",
                self.path,
                encoded(&prefix),
                encoded(&after)
            );
            let answer = self.request(&Method::GET, &path, &[], "").await?;
            let keys = elements(&answer, "Key");
            if let Some(key) = keys.last() {
                after.clone_from(key);
                let mut names = keys.iter().filter_map(|key| key.strip_prefix(&prefix));
                last = names.rfind(|name| accept(name)).map(str::to_owned).or(last);
            }
            if keys.is_empty() || elements(&answer, "IsTruncated").first().map(String::as_str) != Some("true")
            {
                return Ok(last);
            }
        }
    }

    async fn request(
        &self,
        method: &Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Result<String> {
        let scheme = if self.address.is_tls { "https" } else { "http" };
        let url = format!("{scheme}://{}{path}", self.address.authority);
        let mut request = Request::builder().method(method).uri(path).header("host", &self.address.authority);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request
            .body(Full::new(Bytes::from(body.to_owned())))
            .map_err(|e| Error::usage(format!("not a request: {e}")))?;
        for (name, value) in self.signature(method, &url, headers, body).await? {
            let value = value.parse().map_err(|_| Error::end("a signature is no header"))?;
            request.headers_mut().insert(name, value);
        }
        let (status, answer) = http::send(&self.address, request).await?;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        if status.is_success() { Ok(answer) } else { Err(self.refused(status, &answer)) }
    }

    async fn signature(
        &self,
        method: &Method,
        url: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Result<Vec<(&'static str, String)>> {
        let credentials = self
            .credentials
            .provide_credentials()
            .await
            .map_err(|e| Error::end(format!("no AWS credentials can be had: {e}")))?;
        let failed = |e: &dyn std::fmt::Display| Error::end(format!("a request cannot be signed: {e}"));
        let mut settings = SigningSettings::default();
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        let identity = credentials.into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name("s3")
            .time(SystemTime::now())
            .settings(settings)
            .build()
            .map_err(|e| failed(&e))?
            .into();
        let signable = SignableRequest::new(
            method.as_str(),
            url,
            headers.iter().copied(),
            SignableBody::Bytes(body.as_bytes()),
        )
        .map_err(|e| failed(&e))?;
        let (instructions, _) = sign(signable, &parameters).map_err(|e| failed(&e))?.into_parts();
        let (headers, _) = instructions.into_parts();
        Ok(headers.into_iter().map(|header| (header.name(), header.value().to_owned())).collect())
    }

    /// What S3 refuses, by its code.
    fn refused(&self, status: StatusCode, answer: &str) -> Error {
        let of = |name| elements(answer, name).into_iter().next();
        let code = of("Code").unwrap_or_else(|| match status {
            StatusCode::NOT_FOUND => "NoSuchKey".to_owned(),
            StatusCode::PRECONDITION_FAILED => "PreconditionFailed".to_owned(),
            status => status.as_str().to_owned(),
        });
        let again = status.is_server_error()
            || status == StatusCode::TOO_MANY_REQUESTS
            || matches!(
                code.as_str(),
                "RequestTimeout" | "ExpiredToken" | "OperationAborted" | "ConditionalRequestConflict"
            );
        let message = of("Message").unwrap_or_else(|| status.to_string());
        let kind = if again { Kind::Retry } else { Kind::End };
        Error {
            code: Some(code.clone()),
            ..Error::new(kind, format!("s3://{}: {code}: {message}", self.name))
        }
    }
}

/// What stands in elements of a name. (Names of digests need no escapes.)
fn elements(xml: &str, name: &str) -> Vec<String> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let mut found = Vec::new();
    let mut rest = xml;
    while let Some((_, after)) = rest.split_once(&open) {
        let Some((text, after)) = after.split_once(&close) else { break };
        found.push(text.to_owned());
        rest = after;
    }
    found
}

/// A value of a query.
fn encoded(text: &str) -> String {
    text.replace('/', "%2F")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_found() {
        let xml = "<?xml version=\"1.0\"?><L><IsTruncated>true</IsTruncated><Contents><Key>a/1</Key></Contents><Contents><Key>a/2</Key></Contents></L>";
        assert_eq!(elements(xml, "Key"), ["a/1", "a/2"]);
        assert_eq!(elements(xml, "IsTruncated"), ["true"]);
        assert!(elements("<Key>open", "Key").is_empty());
    }
}
