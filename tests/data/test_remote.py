"""Tests `data/remote.py`: what others ask of a file, a remote one gives."""

import gzip
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from etils import epath

import data.remote

ROOT = "gs://bucket/folder"


@pytest.fixture
def folder(bucket):
    path = epath.Path(ROOT)
    path.mkdir(parents=True)
    return path


def test_paths_stay_remote(folder):
    for path in (folder, folder.parent, folder / "a", epath.Path(str(folder)), epath.Path(folder)):
        assert isinstance(path, data.remote.RemotePath)
    (folder / "a.txt").write_text("a")
    assert [str(p) for p in (*folder.iterdir(), *folder.glob("*.txt"))] == [f"{ROOT}/a.txt"] * 2
    assert not isinstance(epath.Path("local"), data.remote.RemotePath)


def test_text_and_bytes_come_back(folder):
    (folder / "text").write_text("línea\nañil\n")
    assert (folder / "text").read_text() == "línea\nañil\n"
    with (folder / "text").open() as file:
        assert list(file) == ["línea\n", "añil\n"]
    data = np.random.default_rng(0).bytes(3_000_000)
    (folder / "bytes").write_bytes(data)
    with (folder / "bytes").open("rb") as file:
        assert (file.seek(-5, 2), file.read()) == (2_999_995, data[-5:])
        assert (file.seek(0), file.read()) == (0, data)


def test_an_object_is_there_when_its_file_is_closed(folder):
    with (folder / "a").open("wb") as file:
        file.write(b"half")
        file.flush()
        assert not (folder / "a").exists()
    assert (folder / "a").read_bytes() == b"half"


def test_arrow_gzip_and_zip_read_and_write_it(folder):
    table = pa.table({"n": range(100_000)})
    with (folder / "a.parquet").open("wb") as file:
        pq.write_table(table, file)
    with (folder / "a.parquet").open("rb") as file:
        assert pq.ParquetFile(file).read(["n"]) == table
    with (folder / "a.arrow").open("wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    with (folder / "a.arrow").open("rb") as file:
        assert pa.ipc.open_file(file).read_all() == table
    with (folder / "a.gz").open("wb") as raw, gzip.GzipFile(fileobj=raw, mode="wb") as file:
        file.write(b"text" * 100_000)
    with gzip.GzipFile(fileobj=(folder / "a.gz").open("rb")) as file:
        assert file.read() == b"text" * 100_000
    with (folder / "a.npz").open("wb") as file:
        np.savez(file, n=np.arange(9))
    with (folder / "a.npz").open("rb") as file, zipfile.ZipFile(file) as archive:
        assert archive.namelist() == ["n.npy"] and archive.testzip() is None


def test_errors_are_os_errors(folder):
    with pytest.raises(FileNotFoundError, match="gs://bucket/folder/none"):
        (folder / "none").read_text()
    with pytest.raises(FileNotFoundError):
        (folder / "none").unlink()
    with pytest.raises(OSError, match="gs://bucket/folder/none"):
        list((folder / "none").iterdir())
    with pytest.raises(PermissionError):
        folder.rename("gs://bucket/other")
    with pytest.raises(ValueError, match="wanted r, rb, w or wb"):
        (folder / "a").open("a")
