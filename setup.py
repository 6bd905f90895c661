"""Package metadata. Beam stages this file to its workers, so it stays plain and self-contained."""

from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
PACKAGES = ("data", "models", "components", "pipeline", "serving")

setup(
    name="polisemia",
    version="0.1.0",
    description="From raw text to a served language model on TensorFlow and Keras 3, in one command",
    long_description=(HERE / "README.md").read_text(encoding="utf-8") if (HERE / "README.md").exists() else "",
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11,<3.14",
    packages=find_packages(include=[pattern for name in PACKAGES for pattern in (name, f"{name}.*")]),
    package_data={"data": ["samples/**/*.csv", "samples/**/*.toml", "samples/**/*.md"]},
    install_requires=[
        "tensorflow>=2.21,<2.22",
        "keras>=3.15,<3.16",
        "keras-nlp>=0.32,<0.33",
        "tensorflow-text>=2.21,<2.22",
        "tensorflow-hub>=0.16,<0.17",
        "setuptools<82",  # tensorflow-hub imports pkg_resources, which 82 removed
        "apache-beam>=2.77,<2.78",
        "google-crc32c",  # plain apache-beam has no crc library: TFRecord files need one
        "pyarrow",
        "pydantic>=2",
        "typer",
        "rich",
        "xxhash",
        "etils[epath]",
        "tokenizers<1",
        "sentencepiece",
        "scikit-learn",
        "scipy",
        "matplotlib",
        "tensorboard",  # shows the trainer's events; Keras' own callback writes with it
        "safetensors",  # Hugging Face folders as presets
        "huggingface_hub",  # presets by handle: hf://
        "kagglehub",  # and kaggle://
        "h5py",  # published ELMo weights
        "aiohttp",  # REST
        "grpcio",
        "grpcio-health-checking",
        "tensorflow-serving-api>=2.19,<2.22",  # the protocol's messages and stubs
        "prometheus-client",
        "seqeval",  # metrics as each field counts them: entities,
        "sacrebleu",  # translations,
        "rouge-score",  # summaries,
        "ir-measures",  # and search
    ],
    extras_require={
        "gpu": ["tensorflow[and-cuda]>=2.21,<2.22"],
        "gcp": ["apache-beam[gcp]>=2.77,<2.78", "google-cloud-bigquery-storage"],
        "tfds": ["tensorflow-datasets"],
        "search": ["faiss-cpu"],  # nearest neighbours by graph, for corpora of millions
        "reference": ["torch", "transformers"],  # what published models are compared with
        "dev": [
            "pytest",
            "pytest-xdist",
            "ruff",
            "mypy",
            "cryptography",
            "apache-beam[gcp]>=2.77,<2.78",
            "tensorflow-datasets",
            "faiss-cpu",
        ],
    },
    entry_points={"console_scripts": ["polisemia=pipeline.cli:main"]},
)
