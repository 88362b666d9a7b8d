"""What every test may ask for. A real broker is started once, only when a selected test asks for it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from deploy.kafka.broker import Broker, external_bootstrap_servers
from prefstream.connection import ClosingSelector

# A busy machine is no reason to fail.
settings.register_profile("prefstream", deadline=None, print_blob=True)
settings.load_profile("prefstream")

# Tests connect as other people's programs do, and a socket that kafka-python forgets would be called a leak of whichever test
# runs when it is collected.
for client in (KafkaAdminClient, KafkaConsumer, KafkaProducer):
    client.DEFAULT_CONFIG["selector"] = ClosingSelector


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark whatever asks for the broker, so that `-m "not kafka"` leaves out exactly what needs one."""
    for item in items:
        if {"broker", "bootstrap_servers"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.kafka)


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """The broker that the tests share, for tests that stop or restart it; skipped where the broker is somebody else's."""
    if external_bootstrap_servers():
        pytest.skip("PREFSTREAM_BOOTSTRAP_SERVERS names a broker that is not ours to stop")
    with Broker.start(tmp_path_factory.mktemp("kafka")) as broker:
        yield broker


@pytest.fixture(scope="session")
def bootstrap_servers(request: pytest.FixtureRequest) -> str:
    """The address of a real broker: the one that PREFSTREAM_BOOTSTRAP_SERVERS names, else the shared one."""
    external = external_bootstrap_servers()
    if external:
        return external
    broker: Broker = request.getfixturevalue("broker")
    return broker.bootstrap_servers


@pytest.fixture
def namespace() -> str:
    """A name that no other test uses, to begin the names of topics and groups with."""
    return f"t{uuid.uuid4().hex[:8]}"


@pytest.fixture
def tokenizer_file(tmp_path: Path) -> Path:
    """A tokenizer of a few hundred tokens, which asks to cut at 4 and to fill up to 50, and begins each text with a token."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<|begin|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(["Loves drama and war. Loves drama and crime."] * 9, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="<|begin|> $A", special_tokens=[("<|begin|>", 0)])
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding(length=50)
    path = tmp_path / "tokenizer.json"
    tokenizer.save(str(path))
    return path
