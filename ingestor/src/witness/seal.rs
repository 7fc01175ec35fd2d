//! `strata seal`, and the same inside `strata run`: the log is sealed, must have grown from the last digest, is signed, and the
//! digest published. Never: a signature on what has not grown.

use super::store::{FORMER_LINE, Store, former_of};
use super::{TIME_LINE, open, read};
use crate::cli::Seal;
use crate::clock;
use crate::config::{Audit, Config};
use crate::error::{Error, Kind, Result};
use crate::metrics::Metrics;
use crate::postgres::{Database, Session};
use crate::print;
use crate::stop::Stop;
use std::fmt::Write;
use std::path::Path;
use std::time::{Duration, Instant};
use strata_core::digest::{Checkpoint, DigestSigner};
use strata_core::proof::verify_consistency;
use strata_core::time::format_timestamptz;

/// A digest that was published, and the one before a restore that it refers to.
struct Last {
    digest: Checkpoint,
    former: Option<String>,
}

impl Last {
    fn former_origin(&self) -> Option<String> {
        self.former.as_deref()?.split(' ').next().map(str::to_owned)
    }
}

/// Holds the key, and knows where digests go.
pub struct Witness {
    signer: DigestSigner,
    stores: Vec<Store>,
}

impl Witness {
    /// Reads the key; connects to nothing.
    pub async fn new(key: &Path, places: &[String], settings: &Audit) -> Result<Self> {
        let signer = DigestSigner::from_text(&read(key)?)
            .map_err(|e| Error::usage(format!("{}: {e}", key.display())))?;
        let mut stores = Vec::new();
        for place in places {
            stores.push(Store::new(place, settings).await?);
        }
        Ok(Self { signer, stores })
    }

    /// As configured; `None`: nothing is to be sealed.
    pub async fn configured(config: &Config) -> Result<Option<Self>> {
        let audit = &config.audit;
        if audit.key_file.is_empty() {
            return Ok(None);
        }
        Self::new(Path::new(&audit.key_file), &audit.digests, audit).await.map(Some)
    }

    /// Whether keys, places and rights are there; what was found.
    pub async fn check(&self, session: &Session) -> Result<String> {
        for store in &self.stores {
            store.check().await.map_err(|e| e.while_doing(format!("audit.digests {}", store.name())))?;
        }
        if !session.is_auditor().await? {
            let role = session.role().await?;
            return Err(Error::new(
                Kind::Check,
                format!("role \"{role}\" may not seal the audit log; run GRANT strata_auditor TO \"{role}\""),
            ));
        }
        let last = self
            .last()
            .await?
            .map_or_else(|| "none yet".to_owned(), |last| format!("of {} leaves", last.digest.size));
        let places: Vec<String> = self.stores.iter().map(Store::name).collect();
        Ok(format!(
            "audit log: signed by {}, published to {}, last digest {last}\n",
            self.signer.verifier().name(),
            places.join(", ")
        ))
    }

    /// The last digest there is in any of the places, and what it says of an origin before a restore.
    async fn last(&self) -> Result<Option<Last>> {
        let mut found: Vec<Last> = Vec::new();
        for store in &self.stores {
            let Some(note) = store.latest().await? else { continue };
            let digest = open(&self.signer.verifier(), &note)
                .map_err(|e| e.while_doing(format!("the last digest in {}", store.name())))?;
            found.push(Last { digest, former: former_of(&note).map(str::to_owned) });
        }
        // (a restore may not have been declared everywhere when something failed)
        let former: Vec<String> = found.iter().filter_map(Last::former_origin).collect();
        found.retain(|last| !former.contains(&last.digest.origin));
        if found.iter().any(|last| last.digest.origin != found[0].digest.origin) {
            return Err(Error::new(Kind::Check, "the places have digests of different logs"));
        }
        Ok(found.into_iter().max_by_key(|last| last.digest.size))
    }

    /// Seals, proves, signs and publishes; `None`: the log is of the size already that need not be published again.
    pub async fn round(&self, session: &Session, known: Option<u64>) -> Result<Option<Checkpoint>> {
        let last = self.last().await?;
        let digest = session.seal_audit(None).await?;
        if Some(digest.size) == known {
            return Ok(None);
        }
        if let Some(last) = last.as_ref().map(|last| &last.digest) {
            refuse_unless_grown(last, &digest)?;
            let proof = session.audit_consistency(last.size, digest.size).await?;
            if !verify_consistency(last.size, digest.size, &proof, &last.root, &digest.root) {
                return Err(forked(last));
            }
        }
        self.publish(&digest, last.and_then(|last| last.former)).await?;
        Ok(Some(digest))
    }

    /// Seals a log that was restored, under another origin; digests from then on refer to the last one of before.
    pub async fn declare_restore(&self, session: &Session, reason: &str) -> Result<Checkpoint> {
        let Some(last) = self.last().await? else {
            return Err(Error::usage("there is no digest yet that a restore could contradict"));
        };
        let digest = session.seal_audit(Some((reason, &last.digest))).await?;
        let text = last.digest.to_text().map_err(Error::end)?;
        self.publish(&digest, Some(text.trim_end().replace('\n', " "))).await?;
        Ok(digest)
    }

    async fn publish(&self, digest: &Checkpoint, former: Option<String>) -> Result<()> {
        let mut text = digest.to_text().map_err(Error::end)?;
        let _ = writeln!(text, "{TIME_LINE}{}", format_timestamptz(clock::now()));
        if let Some(former) = former {
            let _ = writeln!(text, "{FORMER_LINE}{former}");
        }
        let note = self.signer.sign(&text).map_err(Error::end)?;
        for store in &self.stores {
            store.publish(&note).await?;
        }
        Ok(())
    }

    /// Inside `strata run`: one process of all at one database seals, the others wait to take its place. What goes wrong is
    /// logged and counted; carrying goes on.
    pub async fn run(self, database: &Database, settings: Audit, metrics: &Metrics, stop: &Stop) {
        let (mut session, mut leads) = (None::<Session>, false);
        let mut published: Option<(u64, Instant)> = None;
        let idle = Duration::from_millis(settings.idle_interval_ms);
        loop {
            let round = async {
                let open = if let Some(open) = session.take().filter(|session| !session.is_closed()) {
                    open
                } else {
                    leads = false;
                    database.connect().await?
                };
                leads = leads || open.lead_sealing().await?;
                if !leads {
                    return Ok((open, None));
                }
                let known = published.filter(|(_, at)| at.elapsed() < idle).map(|(size, _)| size);
                let digest = self.round(&open, known).await?;
                Ok::<_, Error>((open, digest))
            };
            match round.await {
                Ok((open, digest)) => {
                    session = Some(open);
                    if let Some(digest) = digest {
                        tracing::debug!(leaves = digest.size, "the audit log was sealed");
                        published = Some((digest.size, Instant::now()));
                        metrics.sealed(digest.size);
                    }
                }
                Err(error) if error.kind == Kind::Check => {
                    tracing::error!(error = %error, "the audit log was not signed");
                    metrics.seal_failed("refused");
                }
                Err(error) => {
                    tracing::warn!(error = %error, "the audit log was not sealed");
                    metrics.seal_failed(if error.is_of_database() { "database" } else { "publishing" });
                }
            }
            if !stop.sleep(Duration::from_millis(settings.interval_ms)).await {
                return;
            }
        }
    }
}

/// Once, or at an interval.
pub async fn seal(config: &Config, options: &Seal) -> Result<()> {
    let key = options.key.clone().unwrap_or_else(|| config.audit.key_file.clone().into());
    let places = if options.digests.is_empty() { &config.audit.digests } else { &options.digests };
    if key.as_os_str().is_empty() || places.is_empty() {
        return Err(Error::usage(
            "seal takes --key and --digests, or audit.key_file and audit.digests in the configuration",
        ));
    }
    let witness = Witness::new(&key, places, &config.audit).await?;
    let database = Database::new(config)?;
    if let Some(reason) = &options.declare_restore {
        let digest = witness.declare_restore(&database.connect().await?, reason).await?;
        return print(&format!("{} {} leaves, restored\n", digest.origin, digest.size));
    }
    loop {
        let round = async { witness.round(&database.connect().await?, None).await };
        match round.await {
            Ok(None) => {}
            Ok(Some(digest)) => print(&format!("{} {} leaves\n", digest.origin, digest.size))?,
            // an outage ends nothing that goes on by itself
            Err(error) if error.kind == Kind::Retry && options.every.is_some() => {
                tracing::warn!(error = %error, "the audit log was not sealed");
            }
            Err(error) => return Err(error),
        }
        let Some(seconds) = options.every else { return Ok(()) };
        tokio::time::sleep(Duration::from_secs(seconds.max(1))).await;
    }
}

fn refuse_unless_grown(last: &Checkpoint, digest: &Checkpoint) -> Result<()> {
    if last.origin != digest.origin {
        return Err(Error::new(
            Kind::Check,
            format!(
                "this is log {}, the last digest is of {}; use another directory for another log",
                digest.origin, last.origin
            ),
        ));
    } else if digest.size < last.size {
        return Err(Error::new(
            Kind::Check,
            format!(
                "truncated: the log has {} leaves, the last digest {}; nothing was signed; if it was lawfully restored, \
                 run strata seal --declare-restore REASON",
                digest.size, last.size
            ),
        ));
    }
    Ok(())
}

fn forked(digest: &Checkpoint) -> Error {
    Error::new(
        Kind::Check,
        format!(
            "forked: the first {} leaves of the log are not those the digest was signed for; nothing was signed; if the log \
             was lawfully restored, run strata seal --declare-restore REASON",
            digest.size
        ),
    )
}
