# SPDX-License-Identifier: BSD-3-Clause
"""exporter.py - prometheus-redis-exporter scrapes the server, finds what dashboards show, and finds it true.

May touch: the exporter of the machine, its port of the loopback.
Must never know: other clients.
Invariants: the exporter is one that we started, on a port of its own; a log line above "info" is a failure.
Tests: it is one.
"""

import re
import urllib.request

from harness import DEADLINE_SECONDS, Failure, RespError, Suite
from harness import eventually, expect, expect_equal, expect_match, free_port

SUITE = Suite("prometheus-redis-exporter")

# What common dashboards and alerts read; each must be there, whatever its value.
NAMES = """
    blocked_clients commands_duration_seconds_total commands_failed_calls_total commands_processed_total
    commands_rejected_calls_total commands_total config_maxclients config_maxmemory connected_clients
    connected_slaves connections_received_total cpu_sys_children_seconds_total
    cpu_sys_main_thread_seconds_total cpu_sys_seconds_total cpu_user_children_seconds_total
    cpu_user_main_thread_seconds_total cpu_user_seconds_total db_avg_ttl_seconds db_keys db_keys_expiring
    evicted_keys_total expired_keys_total expired_stale_percentage instance_info keyspace_hits_total
    keyspace_misses_total last_slow_execution_duration_seconds latency_percentiles_usec loading_dump_file
    master_repl_offset mem_clients_normal mem_fragmentation_ratio memory_max_bytes memory_used_bytes
    memory_used_dataset_bytes memory_used_overhead_bytes memory_used_peak_bytes memory_used_rss_bytes
    memory_used_startup_bytes net_input_bytes_total net_output_bytes_total process_id
    rdb_bgsave_in_progress rdb_changes_since_last_save rdb_last_bgsave_status
    rdb_last_save_timestamp_seconds rejected_connections_total slowlog_last_id slowlog_length
    start_time_seconds total_error_replies total_reads_processed total_system_memory_bytes
    total_writes_processed tracking_clients up uptime_in_seconds
""".split()


class Scrape:
    """The metrics of one scrape, and the exporter's log."""

    def __init__(self, text, log):
        self.text, self.log = text, log
        self.samples = {}
        for line in text.splitlines():
            match = re.match(r"^(\w+)(\{.*\})? ([-+\w.]+)$", line)
            if match:
                self.samples[match[1] + (match[2] or "")] = float(match[3])

    def __getitem__(self, name):
        if name not in self.samples:
            raise Failure(f"no metric {name} in\n{self.text}")
        return self.samples[name]

    def labels(self, name):
        """The labels of the only sample of this name."""
        found = [sample for sample in self.samples if sample.startswith(name + "{")]
        expect_equal(len(found), 1, f"the number of samples of {name}")
        return dict(re.findall(r'(\w+)="([^"]*)"', found[0]))


def scrape(world, *words, server=None, times=1):
    server = server or world.server
    path = world.path("exporter.log")
    with open(path, "wb") as output:
        port = free_port(server.port + 1)
        address = f"127.0.0.1:{port}"
        words = ["prometheus-redis-exporter", "--redis.addr", f"redis://127.0.0.1:{server.port}",
                 "--web.listen-address", address, *words]
        exporter = world.spawn(words, stdout=output, stderr=output)

    def log():
        with open(path, "r", encoding="utf-8") as file:
            return file.read()

    def metrics():
        expect(exporter.poll() is None, f"the exporter ended:\n{log()}")
        try:
            with urllib.request.urlopen(f"http://{address}/metrics", timeout=DEADLINE_SECONDS) as answer:
                return answer.read().decode()
        except OSError:
            return None

    for _time in range(times):
        text = eventually(metrics, "the exporter answers on /metrics")
    world.end(exporter)
    result = Scrape(text, log())
    for line in result.log.splitlines():
        expect(re.search(r"level=(info|debug) ", line), f"the exporter's log:\n{result.log}")
    expect_equal(result["redis_up"], 1, "redis_up")
    expect_equal(result['redis_exporter_last_scrape_error{err=""}'], 0, "redis_exporter_last_scrape_error")
    return result


@SUITE.test("says that the server is up and knows its version and role")
def up(world):
    labels = scrape(world).labels("redis_instance_info")
    info = world.server.connect().info("server")
    expect_equal(labels["role"], "master", "the role")
    expect_equal(labels["redis_version"], info["redis_version"], "the version")
    expect_equal(labels["run_id"], info["run_id"], "the run id")
    expect_equal(labels["process_id"], str(world.server.process.pid), "the process id")
    expect_equal(labels["tcp_port"], str(world.server.port), "the port")
    expect_equal(labels["redis_mode"], "standalone", "the mode")
    expect_equal(labels["maxmemory_policy"], "noeviction", "the eviction policy")


@SUITE.test("shows every metric that dashboards read")
def names(world):
    world.command("SET", "a", "1", "EX", "100")
    result = scrape(world, "-include-system-metrics", times=2)
    missing = [name for name in NAMES if not re.search(rf"^redis_{name}[{{ ]", result.text, re.MULTILINE)]
    expect(not missing, f"no redis_{', redis_'.join(missing)} in\n{result.text}")


@SUITE.test("counts the keys of each database as they are")
def keys(world):
    connection = world.server.connect()
    for number in range(100):
        connection("SET", f"key:{number}", "x")
    connection("SELECT", 3)
    connection("SET", "mortal", "x", "EX", "1000")
    connection("SET", "immortal", "x")
    result = scrape(world)
    expect_equal(result['redis_db_keys{db="db0"}'], 100, "the keys of database 0")
    expect_equal(result['redis_db_keys_expiring{db="db0"}'], 0, "its keys with a TTL")
    expect_equal(result['redis_db_keys{db="db3"}'], 2, "the keys of database 3")
    expect_equal(result['redis_db_keys_expiring{db="db3"}'], 1, "its keys with a TTL")
    expect_equal(result['redis_db_keys{db="db7"}'], 0, "the keys of database 7")


@SUITE.test("counts commands, hits, misses and errors as they happened")
def counters(world):
    connection = world.server.connect()
    connection("CONFIG", "RESETSTAT")
    for number in range(7):
        connection("SET", f"key:{number}", "x")
    for number in range(10):
        connection("GET", f"key:{number}")
    for words in (("GET",), ("INCR", "key:1"), ("INCR", "key:2")):
        try:
            connection(*words)
        except RespError as error:
            expect(str(error).startswith("ERR"), str(error))
    result = scrape(world)
    expect_equal(result['redis_commands_total{cmd="set"}'], 7, "calls of SET")
    expect_equal(result['redis_commands_total{cmd="get"}'], 10, "calls of GET")
    expect_equal(result['redis_commands_rejected_calls_total{cmd="get"}'], 1, "rejected calls of GET")
    expect_equal(result['redis_commands_failed_calls_total{cmd="incr"}'], 2, "failed calls of INCR")
    expect_equal(result["redis_keyspace_hits_total"], 7, "hits")
    expect_equal(result["redis_keyspace_misses_total"], 3, "misses")
    expect_equal(result["redis_total_error_replies"], 3, "error replies")
    expect(result["redis_commands_processed_total"] >= 19, "commands processed")
    expect(result['redis_latency_percentiles_usec{cmd="get",quantile="99"}'] > 0, "the latency of GET")


@SUITE.test("shows the memory that the server has")
def memory(world):
    before = scrape(world)
    world.command("SET", "large", b"x" * 10_000_000)
    after = scrape(world)
    more = after["redis_memory_used_bytes"] - before["redis_memory_used_bytes"]
    expect(10_000_000 <= more < 14_000_000, f"used memory grew by {more} for a value of 10,000,000 bytes")
    with open(f"/proc/{world.server.process.pid}/status", "r", encoding="utf-8") as file:
        resident = int(expect_match(r"^VmRSS:\s+(\d+) kB$", file.read())[1]) * 1024
    shown = after["redis_memory_used_rss_bytes"]
    expect(0.5 < shown / resident < 2, f"RSS is {resident}, the exporter shows {shown}")
    peak, used = after["redis_memory_used_peak_bytes"], after["redis_memory_used_bytes"]
    expect(peak >= used, f"the peak {peak} is below the use {used}")


@SUITE.test("shows settings, clients and single keys if asked")
def options(world):
    world.command("SET", "page:1", "12345")
    world.command("SET", "counter", "42")
    result = scrape(world, "-include-config-metrics", "-export-client-list", "-include-system-metrics",
                    "-check-single-keys", "db0=page:1,db0=counter", "-count-keys", "db0=page:*",
                    "-check-keys", "pag*")
    expect_equal(result['redis_config_value{key="port"}'], world.server.port, "the port")
    expect_equal(result['redis_key_size{db="db0",key="page:1"}'], 5, "the length of the value")
    expect_equal(result['redis_key_value{db="db0",key="counter"}'], 42, "the number in the value")
    expect_equal(result['redis_keys_count{db="db0",key="page:*"}'], 1, "the number of keys")
    expect(result["redis_total_system_memory_bytes"] > 1e8, "the memory of the machine")
    labels = result.labels("redis_connected_clients_details")
    expect_equal((labels["name"], labels["host"]), ("redis_exporter", "127.0.0.1"), "name and host")


@SUITE.test("logs in with a password")
def password(world):
    server = world.start_server("--requirepass", "secret")
    scrape(world, "--redis.password", "secret", server=server)


@SUITE.test("shows slow commands of SLOWLOG")
def slowlog(world):
    server = world.start_server("--slowlog-log-slower-than", "0")
    world.command("SET", "a", "1", server=server)
    result = scrape(world, server=server)
    expect(result["redis_slowlog_length"] >= 1, "the length of the slow log")
    expect(result["redis_slowlog_last_id"] >= 1, "the last id of the slow log")
