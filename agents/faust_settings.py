"""Faust's settings: what the library is told, of all that it can be told.

Place in the flow: between our settings and :mod:`agents.app`, once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from faust.auth import Credentials, SASLCredentials, SSLCredentials

from agents.settings import Settings
from agents.store import SCHEME
from prefstream.security import Security, tls_of

REBALANCE_SECONDS = 120.0  # so long the group waits for its slowest member
_DAY_SECONDS = 86_400.0

# Topics and tables carry bytes: records are read and written by us, not by Faust.
RAW = {"key_type": bytes, "value_type": bytes, "key_serializer": "raw", "value_serializer": "raw"}


def _credentials(security: Security) -> Credentials | None:
    """The same security for the clients that Faust opens."""
    if security.is_named:
        return SASLCredentials(
            username=security.username,
            password=security.password,
            ssl_context=tls_of(security),
            mechanism=security.mechanism,
        )
    return SSLCredentials(tls_of(security)) if security.is_encrypted else None


def faust_settings(settings: Settings, num_partitions: int) -> dict[str, Any]:
    """What a Faust app is told; the keyed topics have ``num_partitions``."""
    return {
        "broker": [f"kafka://{server.strip()}" for server in settings.bootstrap_servers.split(",")],
        "broker_credentials": _credentials(settings.brokers.security),
        "store": f"{SCHEME}://",
        "datadir": Path(settings.data_directory).absolute(),
        "topic_partitions": num_partitions,
        "topic_allow_declare": False,
        "topic_disable_leader": True,
        "table_standby_replicas": 0,
        "web_enabled": False,
        "consumer_group_instance_id": settings.instance,
        "broker_commit_interval": 0.5,
        "broker_session_timeout": settings.session_timeout_seconds,
        "broker_heartbeat_interval": min(3.0, settings.session_timeout_seconds / 6),
        "broker_request_timeout": 120.0,
        "broker_rebalance_timeout": REBALANCE_SECONDS,
        # A gate that holds back intake for hours must not leave the group.
        "broker_max_poll_interval": 7 * _DAY_SECONDS,
        "stream_buffer_maxsize": 2_048,
        "worker_redirect_stdouts": False,
    }
