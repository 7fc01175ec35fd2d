//! TLS to the database against a server with a real certificate: what each mode trusts, and what it does not.

use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use strata_e2e::{Cluster, until};
use tokio_postgres::Client;

/// Certificates made for one test.
struct Authority {
    dir: PathBuf,
}

impl Authority {
    fn new(name: &str) -> Result<Self> {
        let dir = std::env::temp_dir().join(format!("pg_strata-tls-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&dir)?;
        let authority = Self { dir };
        authority.openssl(&[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
            "-subj",
            &format!("/CN={name}"),
            "-addext",
            "basicConstraints=critical,CA:TRUE",
            "-keyout",
            "ca.key",
            "-out",
            "ca.crt",
        ])?;
        Ok(authority)
    }

    fn openssl(&self, arguments: &[&str]) -> Result<()> {
        let out =
            Command::new("openssl").args(arguments).current_dir(&self.dir).output().context("openssl")?;
        ensure!(out.status.success(), "openssl {arguments:?}: {}", String::from_utf8_lossy(&out.stderr));
        Ok(())
    }

    /// A certificate for these names, and its key.
    fn issue(&self, name: &str, names: &str) -> Result<()> {
        self.issue_by("-sha256", name, names)
    }

    /// The same, signed by a digest.
    fn issue_by(&self, digest: &str, name: &str, names: &str) -> Result<()> {
        let (key, request, certificate) =
            (format!("{name}.key"), format!("{name}.csr"), format!("{name}.crt"));
        self.openssl(&[
            "req",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-subj",
            &format!("/CN={name}"),
            "-keyout",
            &key,
            "-out",
            &request,
        ])?;
        std::fs::write(self.dir.join("ext"), format!("subjectAltName={names}\n"))?;
        self.openssl(&[
            "x509",
            "-req",
            digest,
            "-in",
            &request,
            "-CA",
            "ca.crt",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-days",
            "2",
            "-extfile",
            "ext",
            "-out",
            &certificate,
        ])
    }

    fn path(&self, file: &str) -> String {
        self.dir.join(file).to_string_lossy().into_owned()
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// Writes a file into the server's data directory, as the server's user.
async fn put(client: &Client, name: &str, from: &Path) -> Result<()> {
    let text = std::fs::read_to_string(from)?;
    put_text(client, name, &text).await
}

async fn put_text(client: &Client, name: &str, text: &str) -> Result<()> {
    let dir: String = client.query_one("SHOW data_directory", &[]).await?.get(0);
    let lines = format!(
        "COPY (SELECT unnest(string_to_array($line${}$line$, E'\\n'))) TO '{dir}/{name}'",
        text.trim_end()
    );
    client.batch_execute(&lines).await?;
    client.batch_execute(&format!("COPY (SELECT) TO PROGRAM 'chmod 600 {dir}/{name}'")).await?;
    Ok(())
}

/// Makes the server show a certificate, to encrypted connections only.
async fn serve(client: &Client, authority: &Authority, name: &str, more: &str) -> Result<()> {
    for (file, from) in [
        ("server.crt", format!("{name}.crt")),
        ("server.key", format!("{name}.key")),
        ("root.crt", "ca.crt".to_owned()),
    ] {
        put(client, file, &authority.dir.join(from)).await?;
    }
    put_text(
        client,
        "pg_hba.conf",
        &format!("local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256 {more}\n"),
    )
    .await?;
    client.batch_execute("ALTER SYSTEM SET ssl = on").await?;
    client.batch_execute("ALTER SYSTEM SET ssl_ca_file = 'root.crt'").await?;
    client.batch_execute("SELECT pg_reload_conf()").await?;
    Ok(())
}

fn status(dsn: &str, settings: &[String]) -> Result<Output> {
    let mut command = Command::new(strata_e2e::program("strata")?);
    command.args(["status", "--json"]).env_clear().env("STRATA_POSTGRES_DSN", dsn);
    for setting in settings {
        command.args(["--set", setting]);
    }
    Ok(command.output()?)
}

/// Whether it connects; what it says where it does not.
fn connects(dsn: &str, settings: &[String]) -> Result<Option<String>> {
    let output = status(dsn, settings)?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success() || output.status.code() == Some(2), "{:?}: {said}", output.status);
    Ok((!output.status.success()).then_some(said))
}

#[tokio::test(flavor = "multi_thread")]
async fn each_mode_trusts_what_it_says() -> Result<()> {
    let cluster = Cluster::start().await?;
    let client = cluster.connect().await?;
    let (ours, other) = (Authority::new("ours")?, Authority::new("other")?);
    ours.issue("server", "DNS:localhost,IP:127.0.0.1")?;
    ours.issue("elsewhere", "DNS:db.example")?;
    ours.issue("client", "DNS:client")?;
    let set = |key: &str, value: &str| format!("postgres.{key}={value}");
    let mode = |mode: &str, root: Option<String>| -> Vec<String> {
        [Some(set("sslmode", mode)), root.map(|root| set("sslrootcert", &root))]
            .into_iter()
            .flatten()
            .collect()
    };
    let (ca, strange) = (Some(ours.path("ca.crt")), Some(other.path("ca.crt")));

    serve(&client, &ours, "server", "").await?;
    until("TLS", async || Ok(connects(&cluster.dsn, &mode("require", None))?.is_none().then_some(())))
        .await?;
    let plain =
        connects(&cluster.dsn, &mode("disable", None))?.context("an unencrypted connection was taken")?;
    ensure!(plain.contains("no encryption"), "{plain}");
    for (trusted, root) in [("prefer", None), ("verify-ca", ca.clone()), ("verify-full", ca.clone())] {
        ensure!(connects(&cluster.dsn, &mode(trusted, root))?.is_none(), "{trusted}");
    }
    let by_name = cluster.dsn.replace("127.0.0.1", "localhost");
    ensure!(by_name != cluster.dsn && connects(&by_name, &mode("verify-full", ca.clone()))?.is_none());
    for refused in ["verify-ca", "verify-full"] {
        for root in [strange.clone(), Some("system".to_owned())] {
            let said = connects(&cluster.dsn, &mode(refused, root.clone()))?;
            let said = said.with_context(|| format!("{refused} trusts {root:?}"))?;
            ensure!(said.contains("certificate"), "{said}");
        }
    }
    // The connection string says the same, and a require with an authority means it.
    let full = format!("{}?sslmode=verify-full&sslrootcert={}", cluster.dsn, ours.path("ca.crt"));
    ensure!(connects(&full, &[])?.is_none());
    ensure!(connects(&full.replace("verify-full", "require").replace("-ours", "-other"), &[])?.is_some());
    let missing = connects(&cluster.dsn, &mode("verify-full", Some("/nowhere.pem".to_owned())))?;
    ensure!(missing.is_some_and(|said| said.contains("/nowhere.pem")));
    // A password of its own file.
    let (before, after) = cluster.dsn.rsplit_once('@').context("no password")?;
    let (user, password) = before.rsplit_once(':').context("no password")?;
    std::fs::write(ours.dir.join("password"), format!("{password}\n"))?;
    let file = set("password_file", &ours.path("password"));
    ensure!(connects(&format!("{user}@{after}"), std::slice::from_ref(&file))?.is_none());

    // The login is bound to the certificate, whatever digest that is signed by.
    let bound = format!("{}?sslmode=require&channel_binding=require", cluster.dsn);
    ensure!(connects(&bound, &[])?.is_none(), "a login bound to its channel");
    ensure!(connects(&bound.replace("sslmode=require", "sslmode=disable"), &[])?.is_some());
    ours.issue_by("-sha512", "long", "DNS:long.example")?;
    serve(&client, &ours, "long", "").await?;
    until("the longer digest", async || {
        Ok(connects(&cluster.dsn, &mode("verify-full", ca.clone()))?
            .filter(|said| said.contains("not valid for")))
    })
    .await?;
    ensure!(connects(&bound, &[])?.is_none(), "a login bound to a channel of SHA-512");

    // A certificate for somebody else, by the same authority.
    serve(&client, &ours, "server", "").await?;
    until("the first certificate", async || {
        Ok(connects(&cluster.dsn, &mode("verify-full", ca.clone()))?.is_none().then_some(()))
    })
    .await?;
    serve(&client, &ours, "elsewhere", "").await?;
    until("the other certificate", async || {
        Ok(connects(&cluster.dsn, &mode("verify-full", ca.clone()))?
            .filter(|said| said.contains("not valid for")))
    })
    .await?;
    ensure!(connects(&cluster.dsn, &mode("verify-ca", ca.clone()))?.is_none(), "verify-ca asks for no name");

    // A server that wants a certificate, too.
    serve(&client, &ours, "server", "clientcert=verify-ca").await?;
    until("client certificates to be wanted", async || {
        Ok(connects(&cluster.dsn, &mode("verify-full", ca.clone()))?
            .filter(|said| said.contains("client certificate")))
    })
    .await?;
    let mut shown = mode("verify-full", ca.clone());
    shown.push(set("sslcert", &ours.path("client.crt")));
    let half = connects(&cluster.dsn, &shown)?.context("half a certificate was taken")?;
    ensure!(half.contains("sslkey"), "{half}");
    shown.push(set("sslkey", &ours.path("client.key")));
    ensure!(connects(&cluster.dsn, &shown)?.is_none(), "a client certificate is shown");
    Ok(())
}
