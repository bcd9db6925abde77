#!/usr/bin/env bash
# What the gateway costs per request, beside nginx's reverse proxy and beside a proxy made of the gateway's own server and
# client without any logic (`floor`): microseconds of CPU, user and system, of the proxy's own process, and its memory.
#
# One run measures all of them by turns, against the same model server, which answers at once, with the same agent-shaped
# 40 KB body and 32 connections; then it prints medians, and ratios to nginx. Only the ratios can be compared between
# machines. Three answers: a whole one; a stream of 100 chunks that comes in one piece; the same chunk by chunk.
#
# The gateway is measured twice: as it ships, with a rule for tool calls (`gateway`), and without `tool-router` (`passing`),
# so that nobody looks at answers. The request offers tools and the answer calls none, so what looking costs a chunk is the
# one beside the other.
#
# Everything is on loopback, at free ports, in a folder of its own; all of it ends with the script.
#
#   ROUNDS     measurements of each kind (5)
#   SECONDS_   length of one measurement (2)
#   BIN_DIR    folder with `pointsman` and `floor`; built in release mode where it is not given
#   BUDGET     exit with 1 where the gateway's ratio to nginx is above this, for the first two answers (3.75). Every request
#              here is a new turn, about which both bundled skills are asked: that is about a quarter of it
#   LOOKING    exit with 1 where a stream costs more than so many times what it costs without `tool-router` (1.3)
set -euo pipefail
cd "$(dirname "$0")/../.."

rounds=${ROUNDS:-5} seconds=${SECONDS_:-2} budget=${BUDGET:-3.75} looking=${LOOKING:-1.3} connections=32

for tool in nginx wrk curl; do
    if ! command -v "$tool" >/dev/null; then
        echo "$tool is missing; mend with: apt-get install nginx wrk curl" >&2
        exit 1
    fi
done
if [ -z "${BIN_DIR:-}" ]; then
    cargo build --release -p pointsman -p pointsman-bench
    BIN_DIR=${CARGO_TARGET_DIR:-target}/release
fi

work=$(mktemp -d) pids=()
stop() {
    [ ${#pids[@]} -eq 0 ] || kill "${pids[@]}" 2>/dev/null || true
    wait
    rm -rf "$work"
}
trap stop EXIT
trap 'exit 1' INT TERM

free_port() {
    local port
    for port in $(shuf -i 20000-29999 -n 50); do
        if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            echo "$port"
            return
        fi
    done
    echo "no free port found" >&2
    return 1
}
stub=$(free_port) nginx=$(free_port) floor=$(free_port) gateway=$(free_port) passing=$(free_port)

"$BIN_DIR/floor" body >"$work/whole.json"
"$BIN_DIR/floor" body stream >"$work/stream.json"
cp "$work/stream.json" "$work/chunks.json"

cat >"$work/nginx.conf" <<CONF
daemon off;
master_process off;
worker_processes 1;
pid $work/nginx.pid;
error_log $work/nginx.log;
events { worker_connections 1024; }
http {
    access_log off;
    tcp_nodelay on;
    keepalive_requests 100000000;
    client_body_buffer_size 256k;
    client_body_temp_path $work/body;
    proxy_temp_path $work/proxy;
    fastcgi_temp_path $work/fastcgi;
    uwsgi_temp_path $work/uwsgi;
    scgi_temp_path $work/scgi;
    upstream stub { server 127.0.0.1:$stub; keepalive 64; keepalive_requests 100000000; }
    server {
        listen 127.0.0.1:$nginx;
        location / {
            proxy_pass http://stub;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
        }
    }
}
CONF
cat >"$work/gateway.toml" <<CONF
listen = "127.0.0.1:$gateway"
[providers.lmstudio]
url = "http://127.0.0.1:$stub"
[skills.tool-router.settings.rules]
edit = { primary = "a-model-that-edits" }
CONF
cat >"$work/passing.toml" <<CONF
listen = "127.0.0.1:$passing"
[providers.lmstudio]
url = "http://127.0.0.1:$stub"
[skills.tool-router]
enabled = false
CONF
cat >"$work/load.lua" <<'LUA'
local file = assert(io.open(os.getenv("BODY"), "rb"))
wrk.method, wrk.body = "POST", file:read("*a")
file:close()
wrk.headers["Content-Type"] = "application/json"
wrk.headers["User-Agent"] = "agent/1.0"
if os.getenv("CHUNKS") == "1" then wrk.headers["X-One-By-One"] = "1" end
function done(summary, latency)
    local errors = summary.errors
    local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
    io.write(string.format("RESULT %d %d %d %d\n", summary.requests, failed, latency:percentile(50), latency:percentile(99)))
end
LUA

declare -A pid port=([nginx]=$nginx [floor]=$floor [gateway]=$gateway [passing]=$passing)
"$BIN_DIR/floor" stub "$stub" & pids+=($!)
nginx -e "$work/nginx.log" -c "$work/nginx.conf" & pid[nginx]=$!
"$BIN_DIR/floor" proxy "$floor" "http://127.0.0.1:$stub" & pid[floor]=$!
for name in gateway passing; do
    "$BIN_DIR/pointsman" serve --config "$work/$name.toml" --data-dir "$work/$name" --log error & pid[$name]=$!
done
pids+=("${pid[@]}")
for name in gateway passing; do
    curl -fsS -o /dev/null --retry 60 --retry-delay 1 --retry-all-errors "http://127.0.0.1:${port[$name]}/readyz" \
        2>/dev/null || { echo "the gateway is not ready after a minute" >&2; exit 1; }
done

# Clock ticks of user and system time that a process has used. Its name has no spaces in it.
ticks() { awk '{ print $14 + $15 }' "/proc/$1/stat"; }
per_second=$(getconf CLK_TCK)

# measure TARGET ANSWER SECONDS → CPU microseconds a request, and the latency's median and 99th percentile
measure() {
    local before after result chunks=0
    [ "$2" != chunks ] || chunks=1
    before=$(ticks "${pid[$1]}")
    result=$(BODY="$work/$2.json" CHUNKS=$chunks wrk -t1 -c$connections -d"$3"s -s "$work/load.lua" \
        "http://127.0.0.1:${port[$1]}/v1/chat/completions" | grep '^RESULT')
    after=$(ticks "${pid[$1]}")
    read -r _ requests failed p50 p99 <<<"$result"
    if [ "$requests" -eq 0 ] || [ "$failed" -ne 0 ]; then
        echo "$1, $2: $failed of $requests requests failed" >&2
        return 1
    fi
    awk -v t="$1" -v a="$2" -v used=$((after - before)) -v hz="$per_second" -v n="$requests" -v p50="$p50" -v p99="$p99" \
        'BEGIN { printf "%s %s %.3f %d %d\n", t, a, used / hz * 1e6 / n, p50, p99 }'
}

for answer in whole stream chunks; do
    for target in nginx floor gateway passing; do measure $target $answer 1 >/dev/null; done
done
for round in $(seq "$rounds"); do
    [ ! -t 2 ] || echo "round $round of $rounds" >&2
    for answer in whole stream chunks; do
        for target in nginx floor gateway passing; do measure $target $answer "$seconds"; done
    done
done >"$work/figures"

echo "request: $(wc -c <"$work/whole.json") bytes, $connections connections, $rounds rounds of $seconds s; medians"
for target in nginx floor gateway passing; do
    echo "memory $target $(awk '/^VmRSS/ { print int($2 / 1024) }' "/proc/${pid[$target]}/status")"
done | cat - "$work/figures" | awk -v budget="$budget" -v looking="$looking" '
    function median(key, column,    i, j, n, sorted, swap) {
        n = count[key]
        for (i = 1; i <= n; i++) sorted[i] = figure[key, i, column]
        for (i = 2; i <= n; i++)
            for (j = i; j > 1 && sorted[j] < sorted[j - 1]; j--) { swap = sorted[j]; sorted[j] = sorted[j - 1]; sorted[j - 1] = swap }
        return (sorted[int((n + 1) / 2)] + sorted[int(n / 2) + 1]) / 2
    }
    $1 == "memory" { memory[$2] = $3; next }
    { key = $2 " " $1; count[key]++; for (c = 3; c <= 5; c++) figure[key, count[key], c] = $c }
    END {
        split("whole stream chunks", answers, " "); split("nginx floor gateway passing", targets, " ")
        printf "%-8s %-8s %14s %8s %9s %9s %8s\n", "answer", "proxy", "CPU us/request", "x nginx", "p50 ms", "p99 ms", "MiB"
        for (a = 1; a <= 3; a++) for (t = 1; t <= 4; t++) {
            key = answers[a] " " targets[t]; cpu = median(key, 3); if (t == 1) base = cpu
            printf "%-8s %-8s %14.1f %8.2f %9.2f %9.2f %8d\n", answers[a], targets[t], cpu, cpu / base, median(key, 4) / 1000, median(key, 5) / 1000, memory[targets[t]]
            if (t == 3) full = cpu
            if (t == 3 && a < 3 && cpu / base > budget) over = over " " answers[a]
            if (t == 4) ratio[a] = full / cpu
        }
        for (a = 2; a <= 3; a++) {
            printf "%s: looking for tool calls costs %.2f x passing\n", answers[a], ratio[a]
            if (ratio[a] > looking) costly = costly " " answers[a]
        }
        if (costly != "") print "looking costs more than " looking " x passing:" costly
        if (over != "") print "over the budget of " budget " x nginx:" over
        if (over != "" || costly != "") exit 1
    }'
