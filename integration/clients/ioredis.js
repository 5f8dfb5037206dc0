// ioredis and iovalkey. See README.md.

const fs = require("node:fs");
const { createRequire } = require("node:module");
const requireHere = createRequire(process.cwd() + "/");

const settings = JSON.parse(process.argv[2]);
const Redis = requireHere(settings.library);
const say = (event, what) => console.log(JSON.stringify({ event, ...what }));

process.stdin.resume();
process.stdin.on("end", () => process.exit(0));

say("version", { version: requireHere(settings.library + "/package.json").version });

const tls = settings.ca ? { ca: fs.readFileSync(settings.ca) } : undefined;

function connect(role) {
  const client = new Redis({
    sentinels: settings.sentinels.map(([host, port]) => ({ host, port })),
    name: settings.master,
    role,
    sentinelUsername: settings.sentinel_user ?? undefined,
    sentinelPassword: settings.sentinel_password ?? undefined,
    username: settings.user ?? undefined,
    password: settings.password ?? undefined,
    commandTimeout: 1000,
    ...(tls ? { enableTLSForSentinelMode: true, sentinelTLS: tls, tls } : {}),
  });
  client.on("error", (error) => say("error", { while: "connect " + role, error: String(error) }));
  return client;
}

const master = connect("master");
const replica = connect("slave");

async function work() {
  for (let n = 1; ; n += 1) {
    let doing = "write";
    try {
      await master.sadd(settings.key, n);
      say("write", { n });
      if (n % 10 === 0) {
        doing = "read";
        const count = await replica.scard(settings.key);
        const [role] = await replica.call("ROLE");
        say("read", { role, count });
      }
    } catch (error) {
      say("error", { while: doing, error: String(error) });
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

work();
