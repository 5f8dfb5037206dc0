// BullMQ on ioredis: a job for each number, whose worker adds it to the set. See ../README.md.

const { createRequire } = require("node:module");
const requireHere = createRequire(process.cwd() + "/");
const { Queue, Worker } = requireHere("bullmq");
const Redis = requireHere("ioredis");

const settings = JSON.parse(process.argv[2]);
const say = (event, what) => console.log(JSON.stringify({ event, ...what }));
const complain = (doing) => (error) => say("error", { while: doing, error: String(error) });

process.stdin.resume();
process.stdin.on("end", () => process.exit(0));
process.on("unhandledRejection", complain("unhandled"));

say("version", { version: requireHere("bullmq/package.json").version });

const connection = {
  sentinels: settings.sentinels.map(([host, port]) => ({ host, port })),
  name: settings.master,
  sentinelUsername: settings.sentinel_user ?? undefined,
  sentinelPassword: settings.sentinel_password ?? undefined,
  username: settings.user ?? undefined,
  password: settings.password ?? undefined,
  maxRetriesPerRequest: null,
};
const client = new Redis(connection);
client.on("error", complain("connect"));
const queue = new Queue(settings.key.replace(/:/g, "-"), { connection });
queue.on("error", complain("queue"));
const worker = new Worker(queue.name, (job) => client.sadd(settings.key, job.data.n), { connection });
worker.on("error", complain("worker"));

worker.on("completed", async (job) => {
  const { n } = job.data;
  say("write", { n });
  if (n % 10 === 0) {
    const [role] = await client.call("ROLE");
    say("read", { role, count: await client.scard(settings.key) });
  }
});

async function work() {
  for (let n = 1; ; n += 1) {
    await queue.add("add", { n }, { removeOnComplete: true }).catch(complain("add"));
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

work();
