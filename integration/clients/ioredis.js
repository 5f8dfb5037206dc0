// Writes through a failover with ioredis' own Sentinel support, and listens for +switch-master.
//
//     ioredis.js GROUP SENTINEL_PORT...
//
// Prints one JSON document a line: {"event": "write", "n": 1, "port": 6379}, {"event": "error", ...},
// {"event": "switch", "payload": "..."}; ends when its standard input is closed.

const { createRequire } = require("node:module");
const requireHere = createRequire(process.cwd() + "/");
const Redis = requireHere("ioredis");

const say = (what) => console.log(JSON.stringify(what));
const [group, ...ports] = process.argv.slice(2);
let stopped = false;

process.stdin.resume();
process.stdin.on("end", () => {
  stopped = true;
  setTimeout(() => process.exit(0), 200);
});

say({ event: "version", version: requireHere("ioredis/package.json").version });

for (const port of ports) {
  const listener = new Redis({ host: "127.0.0.1", port: Number(port), enableReadyCheck: false });
  listener.on("error", (error) => say({ event: "listen-error", port, error: String(error) }));
  listener.on("message", (_channel, payload) => say({ event: "switch", port: Number(port), payload }));
  listener.subscribe("+switch-master").then(() => say({ event: "subscribed", port: Number(port) }));
}

const master = new Redis({
  sentinels: ports.map((port) => ({ host: "127.0.0.1", port: Number(port) })),
  name: group,
  commandTimeout: 1000,
  failoverDetector: true,
});
master.on("error", (error) => say({ event: "error", error: String(error) }));

async function write() {
  for (let n = 1; !stopped; n += 1) {
    try {
      await master.sadd("written", n);
      say({ event: "write", n, port: master.stream ? master.stream.remotePort : 0 });
    } catch (error) {
      say({ event: "error", n, error: String(error) });
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

write();
