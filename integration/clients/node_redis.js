// node-redis. See README.md.

const fs = require("node:fs");
const { createRequire } = require("node:module");
const requireHere = createRequire(process.cwd() + "/");
const { createSentinel } = requireHere("redis");

const settings = JSON.parse(process.argv[2]);
const say = (event, what) => console.log(JSON.stringify({ event, ...what }));

process.stdin.resume();
process.stdin.on("end", () => process.exit(0));

say("version", { version: requireHere("@redis/client/package.json").version });

const socket = settings.ca ? { tls: true, ca: fs.readFileSync(settings.ca) } : {};

function options(username, password) {
  return { username: username ?? undefined, password: password ?? undefined, socket };
}

const sentinel = createSentinel({
  name: settings.master,
  sentinelRootNodes: settings.sentinels.map(([host, port]) => ({ host, port })),
  sentinelClientOptions: options(settings.sentinel_user, settings.sentinel_password),
  nodeClientOptions: options(settings.user, settings.password),
  replicaPoolSize: 1,
  // Without it the sentinels are asked again only at an event or an error of the master's connection.
  scanInterval: 10000,
});
sentinel.on("error", (error) => say("error", { while: "connect", error: String(error) }));

// An error event of a connection that is being replaced reaches no promise in some versions.
process.on("unhandledRejection", (error) => say("error", { while: "unhandled", error: String(error) }));

function within(ms, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${ms} ms`)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

async function work() {
  await sentinel.connect();
  for (let n = 1; ; n += 1) {
    let doing = "write";
    try {
      await within(1000, sentinel.sAdd(settings.key, String(n)));
      say("write", { n });
      if (n % 10 === 0) {
        doing = "read";
        const count = await within(1000, sentinel.sCard(settings.key));
        const [role] = await within(1000, sentinel.sendCommand(true, ["ROLE"]));
        say("read", { role, count });
      }
    } catch (error) {
      say("error", { while: doing, error: String(error) });
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

work().catch((error) => {
  say("error", { while: "start", error: String(error) });
  process.exit(1);
});
