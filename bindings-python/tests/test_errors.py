"""Errors: a class for each kind, with a message that names the remedy."""

from __future__ import annotations

import os
import pickle

import dbgraft
import pytest
from conftest import Bench, Script

NOWHERE = "mysql://app@127.0.0.1:1/shop"


def test_each_kind_is_a_class_of_its_own() -> None:
    kinds = {kind.kind for kind in dbgraft.CloneError.__subclasses__()}
    assert len(kinds) == 15 and "permission" in kinds


def test_an_unknown_option_is_named_with_the_one_that_it_resembles() -> None:
    with pytest.raises(dbgraft.UsageError, match="`thread`.*`threads`"):
        dbgraft.clone(NOWHERE, NOWHERE, thread=3)  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="`memory`.*no size"):
        dbgraft.clone(NOWHERE, NOWHERE, memory="lots")
    with pytest.raises(dbgraft.UsageError, match="`if_exists`.*truncate"):
        dbgraft.clone(NOWHERE, NOWHERE, if_exists="maybe")  # type: ignore[arg-type]
    with pytest.raises(dbgraft.UsageError, match="not a int"):
        dbgraft.clone(3, NOWHERE)  # type: ignore[arg-type]
    with pytest.raises(dbgraft.UsageError, match="ftp://"):
        dbgraft.clone("ftp://a/b", NOWHERE)


def test_a_server_that_is_not_there(mysql: Bench) -> None:
    with pytest.raises(dbgraft.ConnectionFailedError) as caught:
        dbgraft.clone(NOWHERE, mysql.target)
    error = caught.value
    assert error.kind == "connection" and "127.0.0.1:1" in str(error) and error.__cause__ is not None
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is dbgraft.ConnectionFailedError
    assert (str(again), again.kind, again.context, again.retryable) == (
        str(error),
        error.kind,
        error.context,
        error.retryable,
    )


def test_a_wrong_password_has_the_servers_number_and_is_never_shown(mysql: Bench) -> None:
    url = mysql.source.replace(os.environ["DBGRAFT_TEST_MYSQL_SOURCE"].split("@")[0], "mysql://root")
    with pytest.raises(dbgraft.AuthenticationError) as caught:
        dbgraft.clone(url, mysql.target, source_password="s3cr3t-word")
    assert caught.value.code == 1045
    assert "s3cr3t-word" not in str(caught.value) + repr(caught.value.to_dict())


def test_the_preflight_refuses_what_is_there(mysql: Bench) -> None:
    mysql.small()
    dbgraft.clone(mysql.source, mysql.target)
    with pytest.raises(dbgraft.PreflightError, match="orders"):
        dbgraft.clone(mysql.source, mysql.target)


def test_a_fork_is_refused_and_does_not_hang() -> None:
    script = Script(
        """
        import os, dbgraft
        try:
            dbgraft.clone("mysql://app@127.0.0.1:1/a", "mysql://app@127.0.0.1:1/b")
        except dbgraft.ConnectionFailedError:
            pass
        if os.fork() == 0:
            try:
                dbgraft.clone("mysql://app@127.0.0.1:1/a", "mysql://app@127.0.0.1:1/b")
            except dbgraft.UsageError as error:
                print("refused", error, flush=True)
            os._exit(0)
        os.wait()
        """
    )
    code, out, err = script.end()
    assert code == 0 and "refused" in out and "spawn" in out, out + err


def test_a_child_that_was_forked_before_the_first_job_works() -> None:
    script = Script(
        """
        import os, dbgraft
        if os.fork() == 0:
            try:
                dbgraft.clone("mysql://app@127.0.0.1:1/a", "mysql://app@127.0.0.1:1/b")
            except dbgraft.ConnectionFailedError:
                print("worked", flush=True)
            os._exit(0)
        os.wait()
        """
    )
    assert "worked" in script.end()[1]
