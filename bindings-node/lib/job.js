'use strict';

const { existsSync } = require('node:fs');

const { native: addon, executable } = require('./addon.js');
const { CloneError, fromTold, toTold, native } = require('./error.js');
const { Own, end } = require('./own.js');
const signals = require('./signals.js');

const asyncDispose = Symbol.asyncDispose ?? Symbol.for('Symbol.asyncDispose');

/** The options that are of this language alone. */
const LOCAL = ['sourcePassword', 'targetPassword', 'selector', 'onEvent', 'onQuestion', 'signal'];
const FUNCTIONS = ['selector', 'onEvent', 'onQuestion'];
/** Whose events: the listener's, a loop's. */
const LISTENER = 0;
const LOOP = 1;
/** So many errors of the user's functions are kept, to be the cause of a failure. */
const REMEMBERED = 64;

function usage(message) {
  return new CloneError(message, { code: 'USAGE' });
}

/** What JSON would drop or change without a word, so that more would be cloned than was asked for. */
function checked(option, value) {
  if (value instanceof URL) return value.href;
  if (typeof value === 'bigint') return String(value);
  if (Array.isArray(value)) return value.map((each) => checked(option, each));
  if (typeof value === 'object' && value !== null) {
    const plain = [Object.prototype, null].includes(Object.getPrototypeOf(value)) || value.constructor?.name === 'Object';
    if (!plain) throw usage(`option \`${option}\`: a ${value.constructor?.name} is no plain object`);
    return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, checked(option, each)]));
  }
  if (['string', 'boolean'].includes(typeof value) || Number.isFinite(value)) return value;
  const hint = typeof value === 'function' ? ': functions are for `selector`, `onEvent` and `onQuestion`' : '';
  throw usage(`option \`${option}\`: ${typeof value === 'function' ? 'a function' : value} is no value${hint}`);
}

/** Takes the options apart: those of the engine, and those of this language. */
function sort(options) {
  if (options === null || typeof options !== 'object') throw usage('options are an object');
  const engine = {};
  const local = {};
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined || value === null) continue;
    if (LOCAL.includes(name)) local[name] = value;
    else engine[name] = checked(name, value);
  }
  for (const name of FUNCTIONS) {
    if (name in local && typeof local[name] !== 'function') throw usage(`option \`${name}\`: it is a function`);
  }
  for (const name of ['sourcePassword', 'targetPassword']) {
    if (name in local && typeof local[name] !== 'string') throw usage(`option \`${name}\`: it is a text`);
  }
  if (local.signal && typeof local.signal.addEventListener !== 'function') {
    throw usage('option `signal`: it is an AbortSignal');
  }
  if ((engine.sourceAgent || engine.targetAgent) && !engine.agentBinary && existsSync(executable)) {
    engine.agentBinary = executable;
  }
  return { engine, local };
}

/** A clone: where from, where to, and how. Nothing happens before it is started. */
class CloneJob {
  #native;
  #local;
  #ends = {};
  #result;
  /** What the user's functions threw last. */
  #thrown = [];
  /** What the listener threw. */
  #broken;

  constructor(source, target, options = {}) {
    const { engine, local } = sort(options);
    const [from, to] = [end(source, 'source'), end(target, 'target')];
    this.#local = local;
    this.#native = native(() => new addon.Job({
      source: from.url,
      sourceMethods: from.methods,
      target: to.url,
      targetMethods: to.methods,
      options: JSON.stringify(engine),
      sourcePassword: local.sourcePassword,
      targetPassword: local.targetPassword,
      selects: Boolean(local.selector),
      answers: Boolean(local.onQuestion),
      listens: Boolean(local.onEvent),
    }));
    if (from.own) this.#ends.source = new Own(this.#native, from.own);
    if (to.own) this.#ends.target = new Own(this.#native, to.own);
  }

  /** Starts the clone, unless it was started. */
  start() {
    this.#begin('run');
    return this;
  }

  /** The report, when the clone is made. */
  wait() {
    return this.#begin('run');
  }

  /** Stops the job; resolves when it has cleaned up. */
  async cancel() {
    this.#native.cancel();
    await this.#result?.catch(() => {});
  }

  /** How many events were lost, because the loop over them was too slow. */
  get droppedEvents() {
    return this.#native.dropped(LOOP);
  }

  /** The events of the job, which it starts. After the last one a failure of the job is thrown. */
  async *[Symbol.asyncIterator]() {
    const result = this.#begin('run');
    for (let text; (text = await this.#native.nextEvents(LOOP)) !== null; ) yield* JSON.parse(text);
    await result;
  }

  /** Stops the job where it still runs. */
  [asyncDispose]() {
    return this.cancel();
  }

  /** Does one thing with a job of its own. */
  static async once(verb, source, target, options) {
    return new CloneJob(source, target, options).#begin(verb);
  }

  #begin(verb) {
    if (this.#result === undefined) {
      this.#result = this.#run(verb);
      // A failure is for those who wait; nobody has to.
      this.#result.catch(() => {});
    }
    return this.#result;
  }

  async #run(verb) {
    const { signal, onEvent } = this.#local;
    signal?.throwIfAborted();
    const abort = () => this.#native.cancel();
    signal?.addEventListener('abort', abort, { once: true });
    signals.begin(this);
    try {
      const helpers = [this.#serve(), onEvent && this.#hear(onEvent)];
      const outcome = JSON.parse(await this.#native.run(verb));
      await Promise.all(helpers);
      if ('done' in outcome) return outcome.done;
      throw this.#failure(outcome.failed);
    } finally {
      signals.end(this);
      signal?.removeEventListener('abort', abort);
    }
  }

  #failure(told) {
    const { signal } = this.#local;
    const thrown = told.kind === 'cancelled' ? this.#broken : this.#thrown.find(({ message }) => message === told.message);
    const error = fromTold(told, thrown?.error);
    if (error.code !== 'CANCELLED' || this.#broken || !signal?.aborted) return error;
    // What is left behind is said all the same.
    if ('not cleaned up' in error.context) return Object.assign(error, { cause: signal.reason });
    return signal.reason;
  }

  /** Lets the listener hear of events, as fast as it likes. */
  async #hear(listener) {
    try {
      for (let text; (text = await this.#native.nextEvents(LISTENER)) !== null; ) {
        for (const event of JSON.parse(text)) {
          const pause = listener(event);
          if (pause !== undefined) await pause;
        }
      }
    } catch (error) {
      this.#broken = { error };
      this.#native.cancel();
    }
  }

  /** Answers the job's calls of the user's own code. */
  async #serve() {
    for (let call; (call = await this.#native.nextCall()) !== null; ) this.#answer(call);
  }

  async #answer({ id, method, body, data }) {
    try {
      const answer = await this.#call(method, JSON.parse(body), data);
      if (id !== 0) this.#native.answer(id, JSON.stringify(answer ?? null));
    } catch (error) {
      const told = toTold(error);
      this.#thrown.push({ error, message: told.message });
      // Those that were tried again with success are of no interest; several calls may be under way.
      if (this.#thrown.length > REMEMBERED) this.#thrown.shift();
      if (id !== 0) this.#native.fail(id, JSON.stringify(told));
    }
  }

  async #call(method, body, data) {
    if (method === 'selector') {
      const chosen = await this.#local.selector(body);
      if (typeof chosen !== 'boolean') throw new TypeError(`it gave ${chosen} for ${body.name}, and says true or false`);
      return chosen;
    }
    if (method === 'question') return (await this.#local.onQuestion(body)) ?? null;
    if (method === 'release') return Promise.all(Object.values(this.#ends).map((own) => own.release(body)));
    const [side, name] = method.split('.');
    return this.#ends[side].call(name, body, data);
  }
}

const once = CloneJob.once;
delete CloneJob.once;

module.exports = { CloneJob, once };
