// A browser's phone in the manner of JsSIP: SIP over WebSocket (RFC 7118) with `.invalid` in Via and
// Contact, outbound registration (RFC 5626) and digest MD5. Plain Node, no packages.
//
// node sip.mjs HOST PORT EXTENSION PASSWORD calls NUMBER     register, call, talk, hang up
// node sip.mjs HOST PORT EXTENSION PASSWORD moves            register, reconnect, register again;
//     answer a call, reconnect during it; the far end's BYE must come over the last connection
//
// With CA=FILE in the environment: over secure WebSocket, trusting that authority.
// Prints a word for each step; ends with 0 when all went well.
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';

const [host, port, extension, password, what, number] = process.argv.slice(2);
const realm = 'hookflash.test';
const instance = randomUUID();
const home = `${randomBytes(6).toString('hex')}.invalid`;
const contact = `<sip:${extension}@${home};transport=ws>`;
const PATIENCE_MS = 8000;
const ca = process.env.CA && readFileSync(process.env.CA);

const md5 = (text) => createHash('md5').update(text).digest('hex');
const token = () => randomBytes(6).toString('hex');
const say = (word) => process.stdout.write(`${word}\n`);
const check = (truth, message) => { if (!truth) throw new Error(message); };

class Connection {
  constructor(socket) {
    this.socket = socket;
    this.bytes = Buffer.alloc(0);
    this.messages = [];
    this.waiting = [];
    socket.on('data', (data) => { this.bytes = Buffer.concat([this.bytes, data]); this.read(); });
    socket.on('error', () => {});
  }

  static open() {
    const key = randomBytes(16).toString('base64');
    const request = (ca ? https : http).request({ host, port, ca, headers: {
      Connection: 'Upgrade', Upgrade: 'websocket', 'Sec-WebSocket-Version': '13',
      'Sec-WebSocket-Key': key, 'Sec-WebSocket-Protocol': 'sip',
    } });
    return new Promise((resolve, reject) => {
      request.on('error', reject);
      request.on('response', (response) => reject(new Error(`HTTP ${response.statusCode}`)));
      request.on('upgrade', (response, socket, head) => {
        const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
        check(response.headers['sec-websocket-accept'] === accept, 'Sec-WebSocket-Accept');
        check(response.headers['sec-websocket-protocol'] === 'sip', 'RFC 7118 §4: the subprotocol is sip');
        const connection = new Connection(socket);
        connection.bytes = head;
        connection.read();
        resolve(connection);
      });
      request.end();
    });
  }

  // RFC 6455 §5.2; a server's frames are not masked.
  read() {
    for (;;) {
      if (this.bytes.length < 2) return;
      const [first, second] = this.bytes;
      let [length, start] = [second & 127, 2];
      if (length === 126) { if (this.bytes.length < 4) return; length = this.bytes.readUInt16BE(2); start = 4; }
      if (length === 127) { if (this.bytes.length < 10) return; length = Number(this.bytes.readBigUInt64BE(2)); start = 10; }
      check((second & 128) === 0, 'a masked frame of the server');
      if (this.bytes.length < start + length) return;
      const payload = this.bytes.subarray(start, start + length);
      this.bytes = this.bytes.subarray(start + length);
      const opcode = first & 15;
      if (opcode === 9) this.frame(10, payload);
      if (opcode === 1 || opcode === 2) this.take(parse(payload.toString()));
    }
  }

  frame(opcode, payload) {
    const mask = randomBytes(4);
    const head = payload.length < 126 ? Buffer.from([128 | opcode, 128 | payload.length])
      : Buffer.from([128 | opcode, 128 | 126, payload.length >> 8, payload.length & 255]);
    const masked = Buffer.from(payload.map((byte, at) => byte ^ mask[at % 4]));
    this.socket.write(Buffer.concat([head, mask, masked]));
  }

  send(text) { this.frame(1, Buffer.from(text)); }

  take(message) {
    const at = this.waiting.findIndex(({ fits }) => fits(message));
    if (at < 0) this.messages.push(message);
    else this.waiting.splice(at, 1)[0].resolve(message);
  }

  next(name, fits) {
    const at = this.messages.findIndex(fits);
    if (at >= 0) return this.messages.splice(at, 1)[0];
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`no ${name}; have ${JSON.stringify(this.messages)}`)), PATIENCE_MS);
      this.waiting.push({ fits, resolve: (message) => { clearTimeout(timer); resolve(message); } });
    });
  }

  request(method) { return this.next(method, (message) => message.method === method); }

  final(method) { return this.next(`answer to ${method}`, (message) => message.status >= 200 && message.one('cseq').endsWith(` ${method}`)); }

  // Without a goodbye, as when the network changes.
  drop() { this.socket.destroy(); }
}

function parse(text) {
  const [head, ...rest] = text.split('\r\n\r\n');
  const [start, ...lines] = head.split('\r\n');
  const headers = lines.map((line) => [line.slice(0, line.indexOf(':')).trim().toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]);
  const words = start.split(' ');
  return {
    status: words[0] === 'SIP/2.0' ? Number(words[1]) : 0,
    method: words[0] === 'SIP/2.0' ? '' : words[0],
    all: (name) => headers.filter(([known]) => known === name).map(([, value]) => value),
    one: (name) => (headers.find(([known]) => known === name) ?? ['', ''])[1],
    body: rest.join('\r\n\r\n'),
    start,
  };
}

const via = () => `Via: SIP/2.0/${ca ? 'WSS' : 'WS'} ${home};branch=z9hG4bK${token()}`;
const sdp = () => `v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 9 RTP/AVP 0 8 101\r\n`
  + 'a=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\n';

function message(start, lines, body = '') {
  const type = body ? ['Content-Type: application/sdp'] : [];
  return [start, ...lines, ...type, `Content-Length: ${Buffer.byteLength(body)}`, '', body].join('\r\n');
}

// As JsSIP does: the first challenge is the one that is answered.
function authorization(answer, method, uri) {
  const challenge = answer.all('www-authenticate')[0];
  const parameter = (name) => (challenge.match(new RegExp(`${name}="?([^",]*)`)) ?? [])[1];
  check((parameter('algorithm') ?? 'MD5') === 'MD5', `JsSIP knows MD5 only: ${challenge}`);
  const [nonce, cnonce, nc] = [parameter('nonce'), token(), '00000001'];
  const secret = md5(`${extension}:${parameter('realm')}:${password}`);
  const response = md5(`${secret}:${nonce}:${nc}:${cnonce}:auth:${md5(`${method}:${uri}`)}`);
  return `Authorization: Digest algorithm=MD5, username="${extension}", realm="${parameter('realm')}", nonce="${nonce}", `
    + `uri="${uri}", response="${response}", qop=auth, cnonce="${cnonce}", nc=${nc}`;
}

const registration = { callId: token(), seq: 0, tag: token() };

async function register(connection) {
  const uri = `sip:${realm}`;
  const text = (more) => message(`REGISTER ${uri} SIP/2.0`, [
    via(), 'Max-Forwards: 69', `To: <sip:${extension}@${realm}>`, `From: <sip:${extension}@${realm}>;tag=${registration.tag}`,
    `Call-ID: ${registration.callId}`, `CSeq: ${++registration.seq} REGISTER`,
    `Contact: ${contact};+sip.instance="<urn:uuid:${instance}>";reg-id=1;expires=600`, 'Expires: 600',
    'Allow: INVITE,ACK,CANCEL,BYE,UPDATE,MESSAGE,OPTIONS,REFER,INFO,NOTIFY', 'Supported: path,gruu,outbound', 'User-Agent: JsSIP 3.10', ...more]);
  connection.send(text([]));
  const challenged = await connection.final('REGISTER');
  check(challenged.status === 401, challenged.start);
  connection.send(text([authorization(challenged, 'REGISTER', uri)]));
  const accepted = await connection.final('REGISTER');
  check(accepted.status === 200, accepted.start);
  const bindings = accepted.all('contact');
  check(bindings.length === 1 && bindings[0].includes(home), `RFC 5626 §6: one binding of the instance, not ${bindings}`);
  say('registered');
}

async function call(connection) {
  const uri = `sip:${number}@${realm}`;
  const dialog = { callId: token(), tag: token() };
  const text = (method, seq, target, to, more, body) => message(`${method} ${target} SIP/2.0`, [
    via(), 'Max-Forwards: 69', `To: ${to}`, `From: <sip:${extension}@${realm}>;tag=${dialog.tag}`, `Call-ID: ${dialog.callId}`,
    `CSeq: ${seq} ${method}`, `Contact: ${contact.replace('ws>', 'ws;ob>')}`, 'Supported: gruu,outbound', ...more], body);
  connection.send(text('INVITE', 1, uri, `<${uri}>`, [], sdp()));
  const challenged = await connection.final('INVITE');
  check(challenged.status === 401, challenged.start);
  connection.send(text('ACK', 1, uri, challenged.one('to'), []));
  connection.send(text('INVITE', 2, uri, `<${uri}>`, [authorization(challenged, 'INVITE', uri)], sdp()));
  const ringing = await connection.next('180', ({ status }) => status === 180);
  check(ringing.one('to').includes('tag='), 'a tag in the 180');
  const answered = await connection.final('INVITE');
  check(answered.status === 200 && answered.body.includes('m=audio'), answered.start);
  const target = answered.one('contact').match(/<([^>]*)>/)[1];
  connection.send(text('ACK', 2, target, answered.one('to'), []));
  say('talking');
  await new Promise((done) => { setTimeout(done, 300); });
  connection.send(text('BYE', 3, target, answered.one('to'), []));
  check((await connection.final('BYE')).status === 200, 'BYE');
  say('over');
}

const answer = (request, line, more = [], body = '') => message(`SIP/2.0 ${line}`, [
  ...request.all('via').map((value) => `Via: ${value}`), `From: ${request.one('from')}`,
  `To: ${request.one('to')}${request.one('to').includes('tag=') ? '' : ';tag=browser'}`,
  `Call-ID: ${request.one('call-id')}`, `CSeq: ${request.one('cseq')}`, ...more], body);

async function move() {
  let connection = await Connection.open();
  await register(connection);
  connection.drop();
  connection = await Connection.open();
  await register(connection); // the same instance: the binding moves
  say('waiting');
  const invite = await connection.request('INVITE');
  check(invite.start.includes(home), `the Request-URI is our Contact: ${invite.start}`);
  connection.send(answer(invite, '180 Ringing', [`Contact: ${contact}`]));
  connection.send(answer(invite, '200 OK', [`Contact: ${contact}`], sdp()));
  await connection.request('ACK');
  connection.drop();
  connection = await Connection.open();
  await register(connection);
  say('moved');
  const bye = await connection.request('BYE');
  connection.send(answer(bye, '200 OK'));
  say('over');
  await new Promise((done) => { setTimeout(done, 100); });
}

async function main() {
  if (what === 'moves') return move();
  const connection = await Connection.open();
  await register(connection);
  return call(connection);
}

main().then(() => process.exit(0), (error) => { say(`failed: ${error.message}`); process.exit(1); });
