// A headless Chromium, driven over two pipes by its own protocol.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Opens a page, and lets `use` evaluate expressions in it. */
export async function page(url, use) {
  const profile = mkdtempSync(join(tmpdir(), 'dbgraft-chromium-'));
  const flags = ['--headless', '--no-sandbox', '--disable-gpu', '--no-first-run', '--remote-debugging-pipe', `--user-data-dir=${profile}`];
  const child = spawn('chromium', flags, { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'] });
  const [, , , input, output] = child.stdio;
  const closed = new Promise((resolve) => child.on('close', resolve));
  const open = new Map();
  let rest = '';
  output.setEncoding('utf8').on('data', (data) => {
    const messages = (rest + data).split('\0');
    rest = messages.pop();
    for (const { id, result, error } of messages.map((text) => JSON.parse(text))) {
      if (error) open.get(id)?.reject(new Error(error.message));
      else open.get(id)?.resolve(result);
    }
  });
  let last = 0;
  const call = (method, params = {}, sessionId = undefined) => new Promise((resolve, reject) => {
    open.set((last += 1), { resolve, reject });
    input.write(`${JSON.stringify({ id: last, method, params, sessionId })}\0`);
  });
  closed.then(() => open.forEach(({ reject }) => reject(new Error('chromium has ended'))));
  try {
    const { targetId } = await call('Target.createTarget', { url });
    const { sessionId } = await call('Target.attachToTarget', { targetId, flatten: true });
    return await use(async (expression) => {
      const { result, exceptionDetails } = await call('Runtime.evaluate', { expression, awaitPromise: true }, sessionId);
      if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
      return result.value;
    });
  } finally {
    await call('Browser.close').catch(() => child.kill());
    await closed;
    rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
  }
}
