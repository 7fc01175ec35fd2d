//! The rights that docs/ingestor.md asks AWS for are those the sidecar uses: every one of them, and no other.

use anyhow::{Context, Result, ensure};
use std::collections::{BTreeMap, BTreeSet};
use strata_e2e::{Cluster, Endpoint, Sidecar, events, promises, sidecar, until};

/// The actions on Kinesis of a text, as `"kinesis:GetRecords"` or `` `kinesis:SubscribeToShard` ``.
fn actions(text: &str) -> BTreeSet<String> {
    let names = text.split("kinesis:").skip(1);
    let name = |rest: &str| rest.chars().take_while(char::is_ascii_alphabetic).collect::<String>();
    names.map(name).filter(|name| name.starts_with(|c: char| c.is_ascii_uppercase())).collect()
}

/// What was called since.
async fn called(endpoint: &Endpoint, before: &BTreeMap<String, u64>) -> Result<BTreeSet<String>> {
    let now = endpoint.all_calls().await?;
    let more = now.into_iter().filter(|(name, count)| before.get(name).is_none_or(|then| count > then));
    Ok(more.map(|(name, _)| name).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_policy_is_what_is_used() -> Result<()> {
    let mut rng = strata_e2e::random("the_policy_is_what_is_used");
    let page = std::fs::read_to_string(strata_e2e::root().join("docs/ingestor.md"))?;
    let (_, rest) = page.split_once("```json\n{\n  \"Version\"").context("no policy in docs/ingestor.md")?;
    let policy = actions(rest.split_once("```").context("the policy has no end")?.0);
    let cluster = Cluster::start().await?;
    let endpoint = Endpoint::start().await?;
    endpoint.create_stream("clicks", 2).await?;
    let client = cluster.connect().await?;
    client.batch_execute(events::TABLE).await?;
    let told = endpoint.put("clicks", &events::events(1..201, &mut rng)).await?;

    let before = endpoint.all_calls().await?;
    // A stream that is not there, for the list of those that are; a check; reading from a time, and from a checkpoint.
    sidecar::run(&cluster, &endpoint, &["check", "--stream", "clacks", "--relation", "clicks"])?;
    let arguments = ["--stream", "clicks", "--relation", "clicks"];
    let checked = sidecar::run(&cluster, &endpoint, &[&["check"], &arguments[..]].concat())?;
    ensure!(checked.status.success(), "{checked:?}");
    for _ in 0..2 {
        let carried = [&["ingest"], &arguments[..], &["--exit-when-caught-up"]].concat();
        ensure!(sidecar::run(&cluster, &endpoint, &carried)?.status.success());
    }
    let used = called(&endpoint, &before).await?;
    ensure!(used == policy, "docs/ingestor.md allows {policy:?}, the sidecar used {used:?}");
    promises::exactly_once(&client, &told).await?;

    let (_, rest) = page.split_once("**Enhanced fan-out**").context("nothing of enhanced fan-out")?;
    let besides = actions(rest.split_once("\n\n").context("it does not end")?.0);
    let before = endpoint.all_calls().await?;
    client.batch_execute("TRUNCATE strata._checkpoints, strata._leases; TRUNCATE clicks").await?;
    let toml = "[[feeds]]\nstream = \"clicks\"\nrelation = \"clicks\"\nconsumer = \"reader\"\n";
    let pushed = Sidecar::configured(&cluster, &endpoint, toml)?;
    until("200 rows", async || {
        Ok((promises::number(&client, "SELECT count(*) FROM clicks").await? == 200).then_some(()))
    })
    .await?;
    ensure!(pushed.stop().await? == Some(0), "SIGTERM must end it with 0");
    let used = called(&endpoint, &before).await?;
    ensure!(besides.is_subset(&used), "docs/ingestor.md asks for {besides:?} too, used was {used:?}");
    let more: BTreeSet<_> = used.difference(&policy).cloned().collect();
    ensure!(
        more == besides,
        "for a consumer docs/ingestor.md asks for {besides:?}, the sidecar used {more:?}"
    );
    Ok(())
}
