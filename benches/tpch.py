"""The TPC-H database: its data by tpchgen-cli, its schema with the primary and foreign keys of the specification."""

import subprocess
from pathlib import Path

from servers import Server

# Parents first. Each foreign key has an index, unless the primary key begins with it.
TABLES = {
    "region": """
        r_regionkey INT NOT NULL, r_name CHAR(25) NOT NULL, r_comment VARCHAR(152),
        PRIMARY KEY (r_regionkey)""",
    "nation": """
        n_nationkey INT NOT NULL, n_name CHAR(25) NOT NULL, n_regionkey INT NOT NULL, n_comment VARCHAR(152),
        PRIMARY KEY (n_nationkey), KEY n_region (n_regionkey),
        CONSTRAINT nation_region FOREIGN KEY (n_regionkey) REFERENCES region (r_regionkey)""",
    "supplier": """
        s_suppkey INT NOT NULL, s_name CHAR(25) NOT NULL, s_address VARCHAR(40) NOT NULL, s_nationkey INT NOT NULL,
        s_phone CHAR(15) NOT NULL, s_acctbal DECIMAL(15,2) NOT NULL, s_comment VARCHAR(101) NOT NULL,
        PRIMARY KEY (s_suppkey), KEY s_nation (s_nationkey),
        CONSTRAINT supplier_nation FOREIGN KEY (s_nationkey) REFERENCES nation (n_nationkey)""",
    "customer": """
        c_custkey INT NOT NULL, c_name VARCHAR(25) NOT NULL, c_address VARCHAR(40) NOT NULL, c_nationkey INT NOT NULL,
        c_phone CHAR(15) NOT NULL, c_acctbal DECIMAL(15,2) NOT NULL, c_mktsegment CHAR(10) NOT NULL,
        c_comment VARCHAR(117) NOT NULL,
        PRIMARY KEY (c_custkey), KEY c_nation (c_nationkey),
        CONSTRAINT customer_nation FOREIGN KEY (c_nationkey) REFERENCES nation (n_nationkey)""",
    "part": """
        p_partkey INT NOT NULL, p_name VARCHAR(55) NOT NULL, p_mfgr CHAR(25) NOT NULL, p_brand CHAR(10) NOT NULL,
        p_type VARCHAR(25) NOT NULL, p_size INT NOT NULL, p_container CHAR(10) NOT NULL,
        p_retailprice DECIMAL(15,2) NOT NULL, p_comment VARCHAR(23) NOT NULL,
        PRIMARY KEY (p_partkey)""",
    "partsupp": """
        ps_partkey INT NOT NULL, ps_suppkey INT NOT NULL, ps_availqty INT NOT NULL,
        ps_supplycost DECIMAL(15,2) NOT NULL, ps_comment VARCHAR(199) NOT NULL,
        PRIMARY KEY (ps_partkey, ps_suppkey), KEY ps_supp (ps_suppkey),
        CONSTRAINT partsupp_part FOREIGN KEY (ps_partkey) REFERENCES part (p_partkey),
        CONSTRAINT partsupp_supplier FOREIGN KEY (ps_suppkey) REFERENCES supplier (s_suppkey)""",
    "orders": """
        o_orderkey BIGINT NOT NULL, o_custkey INT NOT NULL, o_orderstatus CHAR(1) NOT NULL,
        o_totalprice DECIMAL(15,2) NOT NULL, o_orderdate DATE NOT NULL, o_orderpriority CHAR(15) NOT NULL,
        o_clerk CHAR(15) NOT NULL, o_shippriority INT NOT NULL, o_comment VARCHAR(79) NOT NULL,
        PRIMARY KEY (o_orderkey), KEY o_cust (o_custkey),
        CONSTRAINT orders_customer FOREIGN KEY (o_custkey) REFERENCES customer (c_custkey)""",
    "lineitem": """
        l_orderkey BIGINT NOT NULL, l_partkey INT NOT NULL, l_suppkey INT NOT NULL, l_linenumber INT NOT NULL,
        l_quantity DECIMAL(15,2) NOT NULL, l_extendedprice DECIMAL(15,2) NOT NULL, l_discount DECIMAL(15,2) NOT NULL,
        l_tax DECIMAL(15,2) NOT NULL, l_returnflag CHAR(1) NOT NULL, l_linestatus CHAR(1) NOT NULL,
        l_shipdate DATE NOT NULL, l_commitdate DATE NOT NULL, l_receiptdate DATE NOT NULL,
        l_shipinstruct CHAR(25) NOT NULL, l_shipmode CHAR(10) NOT NULL, l_comment VARCHAR(44) NOT NULL,
        PRIMARY KEY (l_orderkey, l_linenumber), KEY l_part_supp (l_partkey, l_suppkey),
        CONSTRAINT lineitem_orders FOREIGN KEY (l_orderkey) REFERENCES orders (o_orderkey),
        CONSTRAINT lineitem_partsupp FOREIGN KEY (l_partkey, l_suppkey) REFERENCES partsupp (ps_partkey, ps_suppkey)""",
}


def generate(scale: str, directory: Path) -> Path:
    """Generate the data, unless an earlier run did."""
    data = directory / f"tpch-{scale}"
    if not data.exists():
        unfinished = directory / f"tpch-{scale}.unfinished"
        command = ["tpchgen-cli", "tbl", "--quiet", "--overwrite", "-s", scale, "--output-dir", str(unfinished)]
        subprocess.run(command, check=True)
        unfinished.rename(data)
    return data


def load(server: Server, database: str, data: Path) -> None:
    """Create the database and load the data."""
    server.sql(f"DROP DATABASE IF EXISTS {database}; CREATE DATABASE {database} CHARACTER SET utf8mb4")
    for table, definition in TABLES.items():
        path = (data / f"{table}.tbl").resolve()
        server.sql(
            f"USE {database}; SET foreign_key_checks = 0;"
            f"CREATE TABLE {table} ({definition}) ENGINE=InnoDB;"
            f"LOAD DATA LOCAL INFILE '{path}' INTO TABLE {table} FIELDS TERMINATED BY '|' LINES TERMINATED BY '|\\n';"
            f"ANALYZE TABLE {table}"
        )


def counts(server: Server, database: str) -> dict[str, int]:
    """Return the number of rows of each table."""
    query = " UNION ALL ".join(f"SELECT '{table}', COUNT(*) FROM {database}.{table}" for table in TABLES)
    return {name: int(count) for name, count in (line.split("\t") for line in server.sql(query).splitlines())}
