// A web page that starts a clone, shows its progress as it happens, and can cancel it.
//
//   node web/server.js mysql://reader@db1.example/shop mysql://admin@db2.example/shop_copy 8080
//
// There is no login, so it listens on the loopback address only.
import { randomUUID } from 'node:crypto';
import { fileURLToPath } from 'node:url';

import { CloneJob } from 'dbgraft';
import express from 'express';

const [source, target, port = '8080'] = process.argv.slice(2);
// Small batches, so that progress is visible.
const options = { ifExists: 'drop', memory: '16MiB', maxRate: process.env.MAX_RATE };
const clones = new Map();
const app = express();

app.get('/', (_request, response) => response.sendFile(fileURLToPath(new URL('page.html', import.meta.url))));

app.post('/clones', (_request, response) => {
  const id = randomUUID();
  const clone = { listeners: new Set(), last: undefined, cancel: () => job.cancel() };
  const publish = (event) => {
    clone.last = event;
    for (const listener of clone.listeners) listener(event);
  };
  const job = new CloneJob(source, target, { ...options, onEvent: publish });
  clones.set(id, clone);
  job.wait()
    .then(
      (report) => publish({ event: 'done', rows: report.rows, seconds: report.seconds }),
      (error) => publish({ event: error.code === 'CANCELLED' ? 'cancelled' : 'failed', message: error.message }),
    )
    // Keeps the result for a minute.
    .finally(() => setTimeout(() => clones.delete(id), 60_000).unref());
  response.status(201).json({ id });
});

app.get('/clones/:id/events', (request, response) => {
  const clone = clones.get(request.params.id);
  if (clone === undefined) return response.sendStatus(404);
  response.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-cache' });
  const send = (event) => {
    // Skips progress that a slow browser has not read yet.
    if (response.writableNeedDrain && event.event === 'progress') return;
    response.write(`data: ${JSON.stringify(event)}\n\n`);
    if (['done', 'cancelled', 'failed'].includes(event.event)) response.end();
  };
  clone.listeners.add(send);
  response.on('close', () => clone.listeners.delete(send));
  if (clone.last !== undefined) send(clone.last);
});

app.delete('/clones/:id', async (request, response) => {
  const clone = clones.get(request.params.id);
  if (clone === undefined) return response.sendStatus(404);
  await clone.cancel();
  response.sendStatus(204);
});

const server = app.listen(Number(port), '127.0.0.1', () => {
  console.log(`http://127.0.0.1:${server.address().port}/`);
});
