// A headless Chromium with the page of `phone.js`, driven over the DevTools protocol.
//
// node chromium.mjs DIRECTORY MICROPHONE.wav
//
// Reads a line of JavaScript, has the page run it and prints what came of it, as a line of JSON:
// {"ok": value} or {"error": text}. Ends with its input. Plain Node, no packages.
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import { createInterface } from 'node:readline';

const [directory, microphone] = process.argv.slice(2);
const script = readFileSync(new URL('phone.js', import.meta.url));

// A page of this host is a secure context: only such ones get a microphone.
const site = http.createServer((request, response) => {
  const isScript = request.url === '/phone.js';
  response.setHeader('Content-Type', isScript ? 'text/javascript' : 'text/html');
  response.end(isScript ? script : '<!doctype html><title>phone</title><script src="phone.js"></script>');
});
await new Promise((done) => { site.listen(0, '127.0.0.1', done); });

const chromium = spawn('chromium', [
  '--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run', '--disable-extensions',
  '--disable-background-networking', '--allow-loopback-in-peer-connection', '--disable-component-update', '--disable-sync', '--disable-quic',
  '--remote-debugging-pipe', `--user-data-dir=${directory}/profile`, '--autoplay-policy=no-user-gesture-required',
  '--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream', `--use-file-for-fake-audio-capture=${microphone}`,
  'about:blank',
], { stdio: ['ignore', 'ignore', 'inherit', 'pipe', 'pipe'] });
const end = (code) => { chromium.kill('SIGKILL'); process.exit(code); };
chromium.on('error', (error) => { process.stdout.write(`${JSON.stringify({ error: error.message })}\n`); process.exit(1); });
chromium.on('exit', () => process.exit(1));

// The pipe's messages end with NUL.
const answers = new Map();
const events = [];
let [unread, lastId] = ['', 0];
chromium.stdio[4].on('data', (data) => {
  const parts = (unread + data).split('\0');
  unread = parts.pop();
  for (const text of parts) {
    const message = JSON.parse(text);
    if (message.id) answers.get(message.id)?.(message);
    else events.push(message.method);
  }
});
const ask = (method, params = {}, sessionId = undefined) => new Promise((resolve, reject) => {
  const id = ++lastId;
  answers.set(id, ({ result, error }) => { if (error) reject(new Error(error.message)); else resolve(result); });
  chromium.stdio[3].write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
});

const { targetId } = await ask('Target.createTarget', { url: `http://127.0.0.1:${site.address().port}/` });
const { sessionId } = await ask('Target.attachToTarget', { targetId, flatten: true });
const run = async (expression) => {
  const options = { awaitPromise: true, returnByValue: true };
  const { result, exceptionDetails } = await ask('Runtime.evaluate', { expression, ...options }, sessionId);
  if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
  return result.value ?? null;
};
for (let tries = 0; !await run('"phone" in globalThis').catch(() => false); tries += 1) {
  if (tries === 500) throw new Error('the page does not load');
  await new Promise((done) => { setTimeout(done, 20); });
}

const say = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);
say({ ok: 'ready' });
process.stdin.on('end', () => end(0));
for await (const line of createInterface({ input: process.stdin })) {
  say(await run(line).then((ok) => ({ ok }), (error) => ({ error: error.message })));
}
