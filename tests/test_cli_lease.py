"""Leases and the trail on the command line."""

import time


def test_without_leases_each_word_about_them_says_so(dev_server):
    root = {"token": dev_server.root_token}
    none = dev_server.run("lease", "list", **root)
    assert none.returncode == 2 and "No value found" in none.stderr
    assert dev_server.json("lease", "list", "-failing") == []
    assert "Every lease could be revoked" in dev_server.cli("lease", "list", "-failing")
    for flags in ([], ["-failing"]):
        assert dev_server.json("lease", "count", *flags)["data"] == {"counts": {}, "lease_count": 0}
    assert "tried again" in dev_server.cli("lease", "tidy")
    assert dev_server.run("lease", "lookup", "database/creds/none/x", **root).returncode == 2
    assert dev_server.run("lease", "list", "-failing", "database", **root).returncode == 1


def test_the_leases_of_an_entity_are_revoked_by_its_id_alone(dev_server):
    entity = dev_server.json("write", "identity/entity", "name=ann")["data"]["id"]
    assert f"0 leases of entity {entity}" in dev_server.cli("lease", "revoke", "-entity", entity)
    root = {"token": dev_server.root_token}
    assert dev_server.run("lease", "revoke", "-entity", "ann", **root).returncode == 2, "a name is no id"
    for mixed in ("-prefix", "-sync"):
        done = dev_server.run("lease", "revoke", "-entity", mixed, entity, **root)
        assert done.returncode == 1 and "stands alone" in done.stderr, mixed
    # It takes sudo, as every revoking by the dozen.
    powerless = dev_server.policy_token('path "sys/leases/revoke-entity/*" { capabilities = ["update"] }')
    refused = dev_server.run("lease", "revoke", "-entity", entity, token=powerless)
    assert refused.returncode == 2 and "permission denied" in refused.stderr


def test_the_trail_is_read_page_by_page_and_in_a_named_zone(dev_server):
    for n in range(3):
        dev_server.cli("kv", "put", "secret/app", f"n={n}")
    ask = ("audit", "query", "-path=secret/app", "-limit=2")
    first = dev_server.run(*ask, token=dev_server.root_token)
    assert "There is more: -page=" in first.stderr
    page = first.stderr.split("-page=")[1].split()[0]
    one, two = dev_server.json(*ask), dev_server.json(*ask, f"-page={page}")
    assert [entry["version"] for entry in one + two] == [1, 2, 3]
    # An hour in Kolkata is another one in UTC.
    day = time.strftime("%Y-%m-%d", time.gmtime(time.time() + 19_800))
    there = dev_server.json(*ask, f"-date={day}", "-tz=Asia/Kolkata", "-from=00:00")
    assert len(there) == 2
    later = dev_server.run(*ask, "-from=2030-01-01T00:00", "-tz=Asia/Kolkata", token=dev_server.root_token)
    assert later.returncode == 3 and "No entry" in later.stderr
    wrong = dev_server.run(*ask, "-from=10:00", "-tz=Mars/Olympus", token=dev_server.root_token)
    assert wrong.returncode == 1 and "no zone" in wrong.stderr


def test_the_index_of_the_trail_is_made_anew_offline(disk_server):
    disk_server.cli("kv", "put", "secret/app", "a=b")
    assert disk_server.stop() == 0
    folder = str(disk_server.trail_folder())
    for flags in ([], ["-rebuild"], []):
        done = disk_server.run("audit", "index", *flags, folder)
        said = "Success! Made the index" if flags else "The index holds"
        assert done.returncode == 0 and said in done.stdout + done.stderr, done
    assert disk_server.run("audit", "index", f"{folder}/none").returncode == 1
    disk_server.start()
    assert len(disk_server.json("audit", "query", "-path=secret/app")) == 1
