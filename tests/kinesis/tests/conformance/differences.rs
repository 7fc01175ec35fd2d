//! What other endpoints are known to do otherwise, and why ours does not follow them.
//! A listed check must fail where it is listed: an entry that no longer holds is reported, so the table cannot rot.

use crate::subject::Flavour::{self, Kinesalite, KinesisMock};

/// Endpoint, check, reason. "Model" is the text of the service model in the SDK.
pub const DIFFERENCES: &[(Flavour, &str, &str)] = &[
    (KinesisMock, "filter-at-trim-horizon", "lists children made later; the model wants what was open then"),
    (
        KinesisMock,
        "filter-at-timestamp-before",
        "lists children made later; the model wants what was open then",
    ),
    (
        KinesisMock,
        "filter-at-timestamp-after",
        "lists the parent closed before; the model wants what was open then",
    ),
    (
        KinesisMock,
        "filter-from-timestamp-after",
        "lists the parent closed before, which the model leaves out",
    ),
    (KinesisMock, "dry-run", "older than the DryRun parameter"),
    (KinesisMock, "dry-run-stores-nothing", "older than the DryRun parameter"),
    (KinesisMock, "record-too-large-with-key", "counts the payload alone; the model adds the partition key"),
    (KinesisMock, "put-501", "does not count the records of a request"),
    (KinesisMock, "put-0", "does not count the records of a request"),
    (KinesisMock, "request-too-large", "does not add up the sizes of a request"),
    (KinesisMock, "number-of-another-shard", "does not compare the number with the shard; kinesalite does"),
    (
        KinesisMock,
        "number-needless",
        "ignores a number that the iterator type does not take; kinesalite refuses",
    ),
    (KinesisMock, "iterator-garbage", "answers 500 to an iterator it cannot decode; kinesalite refuses"),
    (KinesisMock, "split-at-start", "makes a child without hash keys; kinesalite refuses"),
    (KinesisMock, "split-at-end", "makes a child of one hash key; kinesalite refuses"),
    (KinesisMock, "child-numbers-follow", "ends a closed shard at 2^63-1, below all of its records"),
    (KinesisMock, "update-shard-count-even", "off by one: each boundary is one too low"),
    (
        KinesisMock,
        "first-range-of-2",
        "off by one: divides 2^128-1 rather than 2^128; kinesalite agrees with us",
    ),
    (
        KinesisMock,
        "first-range-of-4",
        "off by one: divides 2^128-1 rather than 2^128; kinesalite agrees with us",
    ),
    (Kinesalite, "list-shards-without-name", "ends its process: it knows neither ARNs nor page tokens"),
    (Kinesalite, "filter-value-missing", "older than shard filters"),
    (Kinesalite, "filter-at-latest", "older than shard filters"),
    (Kinesalite, "filter-at-trim-horizon", "older than shard filters"),
    (Kinesalite, "filter-after-shard-id", "older than shard filters"),
    (Kinesalite, "filter-at-timestamp-before", "older than shard filters"),
    (Kinesalite, "filter-at-timestamp-after", "older than shard filters"),
    (Kinesalite, "filter-from-timestamp-after", "older than shard filters"),
    (Kinesalite, "list-shards-pages", "gives all shards on one page"),
    (Kinesalite, "list-shards-filtered-pages", "gives all shards on one page"),
    (Kinesalite, "dry-run", "older than the DryRun parameter"),
    (Kinesalite, "dry-run-stores-nothing", "older than the DryRun parameter"),
    (Kinesalite, "record-too-large-with-key", "counts the payload alone; the model adds the partition key"),
    (Kinesalite, "request-of-10-mebibytes", "keeps the older limit of 5 MiB, and answers 413"),
    (Kinesalite, "behind-is-not-zero", "always says 0; the model wants the distance to the tip"),
    (Kinesalite, "page-of-10-mebibytes", "does not limit the size of a page"),
    (Kinesalite, "limit-10001-code", "says ValidationException; the model says InvalidArgumentException"),
    (Kinesalite, "child-shards-of-split", "older than ChildShards"),
    (Kinesalite, "child-shards-of-merge", "older than ChildShards"),
    (Kinesalite, "update-shard-count", "older than UpdateShardCount"),
    (Kinesalite, "split-closed", "splits a closed shard again, and two shards own the same hash keys"),
    (Kinesalite, "retention-too-long", "says ValidationException above 7 days; the model allows 365"),
];
