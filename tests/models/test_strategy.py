"""Tests `models/strategy.py`; what needs several devices or processes is in test_parallel.py."""

import json

import pytest
import tensorflow as tf

from data.errors import ConfigError
from models.strategy import create, is_chief, local_replicas


@pytest.fixture(autouse=True)
def bare(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    monkeypatch.delenv("TPU_NAME", raising=False)
    create.cache_clear()
    yield
    create.cache_clear()


def test_auto_is_one_device_where_there_is_nothing_else():
    strategy = create("auto")
    assert strategy is tf.distribute.get_strategy()
    assert is_chief(strategy)
    assert local_replicas(strategy) == strategy.num_replicas_in_sync == 1


def test_auto_takes_what_the_environment_offers(monkeypatch):
    made = []
    monkeypatch.setattr("models.strategy._multi_worker", lambda: made.append("multi_worker"))
    monkeypatch.setattr("models.strategy._tpu", lambda: made.append("tpu"))
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": {"worker": ["a:1"]}}))
    create("auto")
    assert made == []  # a cluster of one worker
    create.cache_clear()
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": {"worker": ["a:1", "b:1"]}}))
    create("auto")
    assert made == ["multi_worker"]
    create.cache_clear()
    monkeypatch.setenv("TPU_NAME", "grpc://nowhere")
    create("auto")
    assert made == ["multi_worker", "tpu"]


@pytest.mark.parametrize(
    ("name", "environment", "message"),
    [
        ("tpu", {}, "no TPU answers.*TPU_NAME"),
        ("mirrored", {}, "without a GPU.*cpu_devices = 2"),
        ("multi_worker", {}, "without TF_CONFIG"),
        ("multi_worker", {"TF_CONFIG": "{cluster"}, "TF_CONFIG: got '{cluster'.*wanted a JSON object"),
        ("multi_worker", {"TF_CONFIG": "[]"}, "wanted a JSON object"),
        ("auto", {"TF_CONFIG": '{"cluster": {"worker": 3}}'}, "wanted a JSON object"),
    ],
)
def test_what_is_missing_is_said(name, environment, message, monkeypatch):
    for key, value in environment.items():
        monkeypatch.setenv(key, value)
    with pytest.raises(ConfigError, match=message):
        create(name)
