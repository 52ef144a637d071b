// What the drivers in JavaScript share: runs come as lines of JSON on standard
// input, go on side by side, and each is answered by a line when its client has
// given back everything that it was asked to send. See ../README.md.
import { createInterface } from 'node:readline';

export async function serveRuns(run) {
  const pending = [];
  const ends = new Map();
  for await (const line of createInterface({ input: process.stdin })) {
    const spec = JSON.parse(line);
    if (spec.end) {
      ends.get(spec.id)();
      continue;
    }
    const told = new Promise((end) => ends.set(spec.id, end));
    pending.push(
      run(spec, told)
        .catch((e) => ({ failed: String(e?.stack ?? e) }))
        .then((result) => process.stdout.write(JSON.stringify({ id: spec.id, errors: [], ...result }) + '\n')),
    );
  }
  await Promise.all(pending);
}
