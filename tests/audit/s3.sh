#!/usr/bin/env bash
# Digests in a bucket with object lock: locked, never overwritten, read back; a server of S3's interface (moto, from PyPI).
. "$(dirname "$0")/lib.sh"
venv=$TARGET/venv-s3
if [ ! -x "$venv/bin/moto_server" ]; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install -q --disable-pip-version-check 'moto[server]==5.*'
fi
export AWS_ACCESS_KEY_ID=witness AWS_SECRET_ACCESS_KEY=secret AWS_REGION=eu-central-1 AWS_EC2_METADATA_DISABLED=true
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
start_server() {
    "$venv/bin/moto_server" -H 127.0.0.1 -p "$port" >"$work/moto" 2>&1 &
    server=$!
    started+=("$server")
    for _ in $(seq 200); do
        python3 -c "import socket; socket.create_connection(('127.0.0.1', $port), 1)" 2>/dev/null && return
        sleep 0.1
    done
    cat "$work/moto" >&2
    die "the S3 server does not start"
}
python() { "$venv/bin/python" - "$port" "$@"; }
start_server
python <<'PY'
import boto3, sys
s3 = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{sys.argv[1]}")
s3.create_bucket(Bucket="digests", ObjectLockEnabledForBucket=True, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
PY
sql >/dev/null <<'SQL'
SET client_min_messages = warning;
CREATE EXTENSION pg_strata;
CREATE TABLE accounts (id int PRIMARY KEY, name text);
SELECT strata.enable_audit('accounts');
INSERT INTO accounts SELECT n, 'a' || n FROM generate_series(1, 10) n;
SQL
"$BIN/strata" keygen witness.test "$work/key" >"$work/public"
s3=(--set "audit.s3_endpoint_url=http://127.0.0.1:$port" --set audit.s3_path_style=true --set audit.s3_lock_mode=COMPLIANCE --set audit.s3_lock_days=400)
seal=("$BIN/strata" seal --key "$work/key" "${s3[@]}" --digests "$work/digests" --digests s3://digests/production)
verify=("$BIN/strata" verify --audit --key "$work/public" "${s3[@]}" --digest s3://digests/production)
expect 2 'there is no digest' "${verify[@]}"
expect 0 '3 leaves' "${seal[@]}"
expect 0 ': sound' "${verify[@]}"
sql -c "UPDATE accounts SET name = 'b' WHERE id = 1"
expect 0 '4 leaves' "${seal[@]}"
expect 0 '4 leaves' "${seal[@]}"
expect 0 ': sound' "${verify[@]}"
cmp "$work/digests/latest" <(python <<'PY'
import boto3, sys
s3 = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{sys.argv[1]}")
sys.stdout.buffer.write(s3.get_object(Bucket="digests", Key="production/latest")["Body"].read())
PY
) || die "bucket and directory differ"

# locked: until when, against deletion; never put twice
python >"$work/locks" <<'PY'
import boto3, botocore, datetime, sys
s3 = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{sys.argv[1]}")
for size in (3, 4):
    key = f"production/{size:020}"
    versions = s3.list_object_versions(Bucket="digests", Prefix=key)["Versions"]
    assert len(versions) == 1, versions
    head = s3.head_object(Bucket="digests", Key=key)
    assert head["ObjectLockMode"] == "COMPLIANCE", head
    days = (head["ObjectLockRetainUntilDate"] - datetime.datetime.now(datetime.timezone.utc)).total_seconds() / 86400
    assert 399 < days <= 400, days
    try:
        s3.delete_object(Bucket="digests", Key=key, VersionId=versions[0]["VersionId"])
        raise SystemExit("a locked digest was deleted")
    except botocore.exceptions.ClientError as error:
        assert error.response["Error"]["Code"] == "AccessDenied", error
# somebody puts an old digest in the place of the newest: what is locked says otherwise
old = s3.get_object(Bucket="digests", Key="production/" + f"{3:020}")["Body"].read()
s3.put_object(Bucket="digests", Key="production/latest", Body=old)
PY
expect 0 '4 leaves' "${verify[@]}" --log-only
expect 0 '4 leaves' "${seal[@]}"
# another digest of a size that is there: refused, not overwritten
"$BIN/strata" keygen witness.test "$work/other" >/dev/null
expect 3 'not signed by' "$BIN/strata" seal --key "$work/other" "${s3[@]}" --digests s3://digests/production

# what is wrong is said
expect 1 NoSuchBucket "$BIN/strata" seal --key "$work/key" "${s3[@]}" --digests s3://missing/x
expect 2 'is not s3://bucket/prefix' "$BIN/strata" seal --key "$work/key" "${s3[@]}" --digests s3://
expect 2 'must be GOVERNANCE or COMPLIANCE' "$BIN/strata" seal --key "$work/key" --set audit.s3_lock_mode=NONE --digests s3://digests/x

# an outage is waited out: here that of a door in front of the server
door() {
    "$venv/bin/python" - "$door" "$port" <<'PY' &
import asyncio, sys

async def pump(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()

async def meet(reader, writer):
    far_reader, far_writer = await asyncio.open_connection("127.0.0.1", int(sys.argv[2]))
    await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer), return_exceptions=True)

async def main():
    async with await asyncio.start_server(meet, "127.0.0.1", int(sys.argv[1])) as server:
        await server.serve_forever()

asyncio.run(main())
PY
    doorkeeper=$!
    started+=("$doorkeeper")
}
door=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
behind=("${seal[@]}" --set "audit.s3_endpoint_url=http://127.0.0.1:$door")
expect 1 'does not answer' "${behind[@]}"
sql -c "UPDATE accounts SET name = 'c' WHERE id = 1"
"${behind[@]}" --every 1 >"$work/every" 2>&1 &
sealer=$!
started+=("$sealer")
for _ in $(seq 300); do grep -q 'was not sealed' "$work/every" && break; sleep 0.1; done
grep -q 'was not sealed' "$work/every" || die "an outage of the bucket is not told of"
door
for _ in $(seq 300); do grep -q '5 leaves' "$work/every" && break; sleep 0.1; done
grep -q '5 leaves' "$work/every" || { cat "$work/every" >&2; die "after an outage nothing is published"; }
kill "$sealer" "$doorkeeper"
wait "$sealer" "$doorkeeper" 2>/dev/null || true
expect 0 ': sound' "${verify[@]}"

# credentials that nobody has given: this server looks at them from its second request on
kill "$server"; wait "$server" 2>/dev/null || true
INITIAL_NO_AUTH_ACTION_COUNT=1 start_server
python <<'PY'
import boto3, sys
s3 = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{sys.argv[1]}")
s3.create_bucket(Bucket="digests", ObjectLockEnabledForBucket=True, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
PY
expect 1 InvalidAccessKeyId "${seal[@]}"
say "digests are locked in a bucket, and read back"
