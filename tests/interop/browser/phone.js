// A browser's phone: SIP over WebSocket (RFC 7118) in the manner of JsSIP, media by WebRTC.
// Loaded into a page of Chromium by `chromium.mjs`; the test calls the functions of `phone`.
'use strict';

const PATIENCE_MS = 15000;
const later = (ms) => new Promise((done) => { setTimeout(done, ms); });
const token = () => Array.from(crypto.getRandomValues(new Uint8Array(8)), (byte) => byte.toString(16).padStart(2, '0')).join('');
const must = (truth, message) => { if (!truth) throw new Error(message); };

// RFC 1321: what browsers' phones answer a challenge with, and crypto.subtle does not have.
function md5(text) {
  const bytes = new TextEncoder().encode(text);
  const length = (bytes.length + 8 >> 6) + 1;
  const words = new Uint32Array(length * 16);
  bytes.forEach((byte, at) => { words[at >> 2] |= byte << at % 4 * 8; });
  words[bytes.length >> 2] |= 0x80 << bytes.length % 4 * 8;
  words[length * 16 - 2] = bytes.length * 8;
  const sine = Array.from({ length: 64 }, (_, at) => Math.floor(Math.abs(Math.sin(at + 1)) * 2 ** 32));
  const shifts = [[7, 12, 17, 22], [5, 9, 14, 20], [4, 11, 16, 23], [6, 10, 15, 21]];
  const state = [0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476];
  for (let block = 0; block < words.length; block += 16) {
    let [a, b, c, d] = state;
    for (let at = 0; at < 64; at += 1) {
      const round = at >> 4;
      const mix = [b & c | ~b & d, b & d | c & ~d, b ^ c ^ d, c ^ (b | ~d)][round];
      const word = [at, 5 * at + 1, 3 * at + 5, 7 * at][round] % 16;
      const sum = a + mix + sine[at] + words[block + word] | 0;
      const shift = shifts[round][at % 4];
      [a, d, c, b] = [d, c, b, b + (sum << shift | sum >>> 32 - shift) | 0];
    }
    [a, b, c, d].forEach((word, at) => { state[at] = state[at] + word | 0; });
  }
  return state.flatMap((word) => [0, 8, 16, 24].map((shift) => (word >>> shift & 255).toString(16).padStart(2, '0'))).join('');
}

function parse(text) {
  const [head, ...rest] = text.split('\r\n\r\n');
  const [start, ...lines] = head.split('\r\n');
  const headers = lines.map((line) => [line.slice(0, line.indexOf(':')).trim().toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]);
  const words = start.split(' ');
  const isAnswer = words[0] === 'SIP/2.0';
  return {
    status: isAnswer ? Number(words[1]) : 0,
    method: isAnswer ? '' : words[0],
    all: (name) => headers.filter(([known]) => known === name).map(([, value]) => value),
    one: (name) => (headers.find(([known]) => known === name) ?? ['', ''])[1],
    body: rest.join('\r\n\r\n'),
    start,
  };
}

class Phone {
  constructor() {
    this.instance = crypto.randomUUID();
    this.home = `${token()}.invalid`;
    this.waiting = [];
    this.arrived = [];
    this.registration = { callId: token(), tag: token(), seq: 0 };
    this.failures = '';
    this.codecs = undefined; // all there are, or the names of those wanted
  }

  // ---- the connection -------------------------------------------------------------------------

  async connect(url, realm, extension, password) {
    Object.assign(this, { url, realm, extension, password });
    this.contact = `<sip:${extension}@${this.home};transport=ws>`;
    await this.reconnect();
    return 'registered';
  }

  // Over a new connection, without a goodbye on the old one, as when the network changes.
  async reconnect() {
    const socket = new WebSocket(this.url, 'sip');
    await new Promise((resolve, reject) => { socket.onopen = resolve; socket.onerror = () => reject(new Error('no connection')); });
    const old = this.socket;
    this.socket = socket;
    socket.onmessage = ({ data }) => { if (data.trim()) this.take(parse(data)); };
    if (old) old.close();
    await this.register();
    return 'registered';
  }

  send(start, lines, body = '') {
    const type = body ? ['Content-Type: application/sdp'] : [];
    const length = new TextEncoder().encode(body).length;
    this.socket.send([start, ...lines, ...type, `Content-Length: ${length}`, '', body].join('\r\n'));
  }

  take(message) {
    if (message.method === 'OPTIONS') return this.reply(message, '200 OK');
    const at = this.waiting.findIndex(({ fits }) => fits(message));
    if (at >= 0) return this.waiting.splice(at, 1)[0].resolve(message);
    if (message.method === 'INVITE' && this.call && message.one('to').includes('tag=')) {
      this.reinvited(message).catch((error) => { this.failures += `${error.stack}\n`; });
      return undefined;
    }
    if (message.method === 'BYE') {
      this.reply(message, '200 OK');
      this.close();
    }
    this.arrived.push(message);
    return undefined;
  }

  next(name, fits) {
    const at = this.arrived.findIndex(fits);
    if (at >= 0) return Promise.resolve(this.arrived.splice(at, 1)[0]);
    return new Promise((resolve, reject) => {
      const have = () => this.arrived.map(({ start }) => start).join('; ');
      const timer = setTimeout(() => reject(new Error(`no ${name}; have ${have()}`)), PATIENCE_MS);
      this.waiting.push({ fits, resolve: (message) => { clearTimeout(timer); resolve(message); } });
    });
  }

  final(method, seq) {
    return this.next(`answer to ${method}`, (message) => message.status >= 200 && message.one('cseq') === `${seq} ${method}`);
  }

  via() { return `Via: SIP/2.0/${this.url.startsWith('wss') ? 'WSS' : 'WS'} ${this.home};branch=z9hG4bK${token()}`; }

  reply(request, line, more = [], body = '') {
    const to = request.one('to');
    this.send(`SIP/2.0 ${line}`, [
      ...request.all('via').map((value) => `Via: ${value}`), `From: ${request.one('from')}`,
      `To: ${to}${to.includes('tag=') ? '' : `;tag=${this.tag ?? 'none'}`}`,
      `Call-ID: ${request.one('call-id')}`, `CSeq: ${request.one('cseq')}`, ...more], body);
  }

  authorization(answer, method, uri) {
    const challenges = [...answer.all('www-authenticate'), ...answer.all('proxy-authenticate')];
    const value = (challenge, name) => (challenge.match(new RegExp(`${name}="?([^",]*)`)) ?? [])[1];
    const challenge = challenges.find((it) => (value(it, 'algorithm') ?? 'MD5') === 'MD5');
    must(challenge, `no MD5 among ${challenges}`);
    const [realm, nonce, cnonce] = [value(challenge, 'realm'), value(challenge, 'nonce'), token()];
    const secret = md5(`${this.extension}:${realm}:${this.password}`);
    const response = md5(`${secret}:${nonce}:00000001:${cnonce}:auth:${md5(`${method}:${uri}`)}`);
    return `Authorization: Digest algorithm=MD5, username="${this.extension}", realm="${realm}", nonce="${nonce}", `
      + `uri="${uri}", response="${response}", qop=auth, cnonce="${cnonce}", nc=00000001`;
  }

  async register() {
    const { callId, tag } = this.registration;
    const uri = `sip:${this.realm}`;
    let proof = [];
    for (let attempt = 0; attempt < 2; attempt += 1) {
      const seq = ++this.registration.seq;
      this.send(`REGISTER ${uri} SIP/2.0`, [
        this.via(), 'Max-Forwards: 69', `To: <sip:${this.extension}@${this.realm}>`,
        `From: <sip:${this.extension}@${this.realm}>;tag=${tag}`, `Call-ID: ${callId}`, `CSeq: ${seq} REGISTER`,
        `Contact: ${this.contact};+sip.instance="<urn:uuid:${this.instance}>";reg-id=1;expires=600`,
        'Allow: INVITE,ACK,CANCEL,BYE,UPDATE,OPTIONS,INFO', 'Supported: path,gruu,outbound', ...proof]);
      const answer = await this.final('REGISTER', seq);
      if (answer.status === 200) return;
      must(answer.status === 401 && attempt === 0, answer.start);
      proof = [this.authorization(answer, 'REGISTER', uri)];
    }
  }

  // ---- media ----------------------------------------------------------------------------------

  async open() {
    const audio = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
    const microphone = await navigator.mediaDevices.getUserMedia({ audio });
    const pc = new RTCPeerConnection({ bundlePolicy: 'max-bundle' });
    this.pc = pc;
    this.context = new AudioContext({ sampleRate: 48000 });
    this.ear = this.context.createAnalyser();
    this.ear.fftSize = 8192;
    pc.ontrack = ({ track }) => {
      const stream = new MediaStream([track]);
      // Without an element that plays it, Chromium decodes no remote stream.
      const element = new Audio();
      element.srcObject = stream;
      element.muted = true;
      element.play();
      this.context.createMediaStreamSource(stream).connect(this.ear);
    };
    microphone.getTracks().forEach((track) => pc.addTrack(track, microphone));
    if (this.codecs) {
      const wanted = [...this.codecs, 'telephone-event'].map((name) => `audio/${name}`);
      const { codecs } = RTCRtpReceiver.getCapabilities('audio');
      pc.getTransceivers()[0].setCodecPreferences(codecs.filter(({ mimeType }) => wanted.includes(mimeType)));
    }
    return pc;
  }

  // JsSIP waits for all candidates: they are in the description.
  async describe(description) {
    await this.pc.setLocalDescription(description);
    while (this.pc.iceGatheringState !== 'complete') await later(10);
    return this.pc.localDescription.sdp;
  }

  async connected() {
    for (let waited = 0; waited < PATIENCE_MS; waited += 20) {
      if (this.pc.connectionState === 'connected') return 'connected';
      await later(20);
    }
    throw new Error(`ICE ${this.pc.iceConnectionState}, connection ${this.pc.connectionState}`);
  }

  // How many tenths of a second of the next `ms` were mostly a tone of `hz`, were silent, and were
  // something else.
  async heard(hz, ms) {
    const counts = { tone: 0, silent: 0, other: 0 };
    const samples = new Float32Array(4800);
    for (let n = 0; n < ms / 100; n += 1) {
      await later(100);
      this.ear.getFloatTimeDomainData(samples);
      const level = Math.sqrt(samples.reduce((sum, x) => sum + x * x, 0) / samples.length);
      const turn = 2 * Math.PI * hz / this.context.sampleRate;
      let [re, im] = [0, 0];
      samples.forEach((x, at) => { re += x * Math.cos(turn * at); im += x * Math.sin(turn * at); });
      const tone = Math.hypot(re, im) * 2 / samples.length / Math.SQRT2;
      if (level < 0.005) counts.silent += 1;
      else if (tone > 0.7 * level) counts.tone += 1;
      else counts.other += 1;
    }
    return counts;
  }

  // What the connection says of itself.
  async facts() {
    const reports = [...(await this.pc.getStats()).values()];
    const of = (type) => reports.find((report) => report.type === type) ?? {};
    const sent = of('outbound-rtp');
    const codec = reports.find(({ id }) => id === sent.codecId) ?? {};
    const transport = of('transport');
    return {
      codec: codec.mimeType, dtls: transport.dtlsState, role: transport.dtlsRole, cipher: transport.dtlsCipher,
      srtp: transport.srtpCipher, handshakes: transport.selectedCandidatePairChanges,
      ufrag: transport.iceLocalUsernameFragment, lost: of('inbound-rtp').packetsLost,
      received: of('inbound-rtp').packetsReceived,
    };
  }

  // ---- calls ----------------------------------------------------------------------------------

  // A request inside the dialog.
  ask(method, body = '', more = []) {
    const { call } = this;
    call.seq += 1;
    this.send(`${method} ${call.target} SIP/2.0`, [
      this.via(), 'Max-Forwards: 69', `To: ${call.to}`, `From: ${call.from}`, `Call-ID: ${call.id}`,
      `CSeq: ${call.seq} ${method}`, `Contact: ${this.contact}`, ...more], body);
    return call.seq;
  }

  acknowledge(seq) {
    const { call } = this;
    this.send(`ACK ${call.target} SIP/2.0`, [
      this.via(), 'Max-Forwards: 69', `To: ${call.to}`, `From: ${call.from}`, `Call-ID: ${call.id}`, `CSeq: ${seq} ACK`]);
  }

  async dial(number) {
    const pc = await this.open();
    const uri = `sip:${number}@${this.realm}`;
    this.tag = token();
    this.call = { id: token(), from: `<sip:${this.extension}@${this.realm}>;tag=${this.tag}`, to: `<${uri}>`, target: uri, seq: 0 };
    const offer = await this.describe(await pc.createOffer());
    let seq = this.ask('INVITE', offer);
    const challenged = await this.final('INVITE', seq);
    must(challenged.status === 401, challenged.start);
    this.acknowledge(seq);
    seq = this.ask('INVITE', offer, [this.authorization(challenged, 'INVITE', uri)]);
    const answered = await this.final('INVITE', seq);
    if (answered.status !== 200) return answered.start;
    this.call.to = answered.one('to');
    this.call.target = answered.one('contact').match(/<([^>]*)>/)[1];
    await pc.setRemoteDescription({ type: 'answer', sdp: answered.body });
    this.acknowledge(seq);
    return this.connected();
  }

  async answer() {
    const invite = await this.next('INVITE', ({ method }) => method === 'INVITE');
    const pc = await this.open();
    this.tag = token();
    this.reply(invite, '180 Ringing', [`Contact: ${this.contact}`]);
    await pc.setRemoteDescription({ type: 'offer', sdp: invite.body });
    const body = await this.describe(await pc.createAnswer());
    this.call = {
      id: invite.one('call-id'), from: `${invite.one('to')};tag=${this.tag}`, to: invite.one('from'),
      target: invite.one('contact').match(/<([^>]*)>/)[1], seq: 0,
    };
    this.reply(invite, '200 OK', [`Contact: ${this.contact}`], body);
    await this.next('ACK', ({ method }) => method === 'ACK');
    return this.connected();
  }

  async reinvited(invite) {
    await this.pc.setRemoteDescription({ type: 'offer', sdp: invite.body });
    const body = await this.describe(await this.pc.createAnswer());
    this.reply(invite, '200 OK', [`Contact: ${this.contact}`], body);
  }

  // Offers anew, as the peer connection now wants it.
  async reoffer(options = {}) {
    const body = await this.describe(await this.pc.createOffer(options));
    const seq = this.ask('INVITE', body);
    const answered = await this.final('INVITE', seq);
    must(answered.status === 200, answered.start);
    this.acknowledge(seq);
    await this.pc.setRemoteDescription({ type: 'answer', sdp: answered.body });
    return answered.body;
  }

  direct(direction) {
    this.pc.getTransceivers()[0].direction = direction;
    return this.reoffer();
  }

  async restartIce() {
    await this.reoffer({ iceRestart: true });
    return this.connected();
  }

  async press(keys) {
    const { dtmf } = this.pc.getSenders()[0];
    dtmf.insertDTMF(keys, 150, 100);
    while (dtmf.toneBuffer) await later(50);
    await later(400);
    return 'pressed';
  }

  async hangUp() {
    const seq = this.ask('BYE');
    const answered = await this.final('BYE', seq);
    this.close();
    return answered.status;
  }

  async ended() {
    await this.next('BYE', ({ method }) => method === 'BYE');
    return 'ended';
  }

  close() {
    if (this.pc) {
      // A browser opens a few microphones at once, and no more.
      this.pc.getSenders().forEach(({ track }) => track && track.stop());
      this.pc.close();
    }
    this.call = undefined;
  }
}

globalThis.phone = new Phone();
