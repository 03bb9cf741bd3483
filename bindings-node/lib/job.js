'use strict';

const { existsSync } = require('node:fs');

const { native: addon, executable } = require('./addon.js');
const { CloneError, errorFromJson, errorToJson, callNative } = require('./error.js');
const { CustomEnd, parseEnd } = require('./custom.js');
const signals = require('./signals.js');

const asyncDispose = Symbol.asyncDispose ?? Symbol.for('Symbol.asyncDispose');

/** The options of this package, beside those of the engine. */
const LOCAL = ['sourcePassword', 'targetPassword', 'archivePassphrase', 'selector', 'onEvent', 'onQuestion', 'signal'];
const FUNCTIONS = ['selector', 'onEvent', 'onQuestion'];
/** The numbers of the event queues: of the listener and of a loop. */
const LISTENER = 0;
const LOOP = 1;
/** The maximum number of errors of the user's functions that are kept as possible causes. */
const MAX_CALLBACK_ERRORS = 64;

function usageError(message) {
  return new CloneError(message, { code: 'USAGE' });
}

/** Refuses values that JSON would drop or change silently, which could clone more than intended. */
function checkJson(option, value) {
  if (value instanceof URL) return value.href;
  if (typeof value === 'bigint') return String(value);
  if (Array.isArray(value)) return value.map((each) => checkJson(option, each));
  if (typeof value === 'object' && value !== null) {
    const plain = [Object.prototype, null].includes(Object.getPrototypeOf(value)) || value.constructor?.name === 'Object';
    if (!plain) throw usageError(`option \`${option}\`: a ${value.constructor?.name} is no plain object`);
    return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, checkJson(option, each)]));
  }
  if (['string', 'boolean'].includes(typeof value) || Number.isFinite(value)) return value;
  const hint = typeof value === 'function' ? ': functions are for `selector`, `onEvent` and `onQuestion`' : '';
  throw usageError(`option \`${option}\`: ${typeof value === 'function' ? 'a function' : value} is no value${hint}`);
}

/** Splits the options into those of the engine and those of this package. */
function splitOptions(options) {
  if (options === null || typeof options !== 'object') throw usageError('options are an object');
  const engine = {};
  const local = {};
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined || value === null) continue;
    if (LOCAL.includes(name)) local[name] = value;
    else engine[name] = checkJson(name, value);
  }
  for (const name of FUNCTIONS) {
    if (name in local && typeof local[name] !== 'function') throw usageError(`option \`${name}\`: it is a function`);
  }
  for (const name of ['sourcePassword', 'targetPassword', 'archivePassphrase']) {
    if (name in local && typeof local[name] !== 'string') throw usageError(`option \`${name}\`: it is a text`);
  }
  if (local.signal && typeof local.signal.addEventListener !== 'function') {
    throw usageError('option `signal`: it is an AbortSignal');
  }
  if ((engine.sourceAgent || engine.targetAgent) && !engine.agentBinary && existsSync(executable)) {
    engine.agentBinary = executable;
  }
  return { engine, local };
}

/** A clone as a job. Each method but `cancel`, `pause`, `cutOver` and `unpause` starts it. */
class CloneJob {
  #native;
  #local;
  #ends = {};
  #result;
  /** The last errors of the user's functions. */
  #callbackErrors = [];
  /** The error of the listener. */
  #listenerError;

  constructor(source, target, options = {}) {
    const { engine, local } = splitOptions(options);
    const [sourceEnd, targetEnd] = [parseEnd(source, 'source'), parseEnd(target, 'target')];
    this.#local = local;
    this.#native = callNative(() => new addon.Job({
      source: sourceEnd.url,
      sourceMethods: sourceEnd.methods,
      target: targetEnd.url,
      targetMethods: targetEnd.methods,
      options: JSON.stringify(engine),
      sourcePassword: local.sourcePassword,
      targetPassword: local.targetPassword,
      archivePassphrase: local.archivePassphrase,
      selects: Boolean(local.selector),
      answers: Boolean(local.onQuestion),
      listens: Boolean(local.onEvent),
    }));
    if (sourceEnd.object) this.#ends.source = new CustomEnd(this.#native, sourceEnd.object);
    if (targetEnd.object) this.#ends.target = new CustomEnd(this.#native, targetEnd.object);
  }

  /** Starts the job, unless it was started. */
  start() {
    this.#begin('run');
    return this;
  }

  /** Waits for the report. */
  wait() {
    return this.#begin('run');
  }

  /** Cancels the job; resolves after the clean-up. */
  async cancel() {
    this.#native.cancel();
    await this.#result?.catch(() => {});
  }

  /** Pauses the job: it reads nothing more and writes what it has read. */
  pause() {
    this.#native.pause();
  }

  /** Cuts over a job that follows its source. */
  cutOver({ verify = 'none' } = {}) {
    callNative(() => this.#native.cutOver(verify));
  }

  /** Lets the job go on. */
  unpause() {
    this.#native.unpause();
  }

  /** Whether `pause` pauses the job. */
  get isPaused() {
    return this.#native.isPaused();
  }

  /** The number of events that a slow loop has lost. */
  get droppedEvents() {
    return this.#native.dropped(LOOP);
  }

  /** Starts the job and iterates over its events. Throws the error of the job after the last event. */
  async *[Symbol.asyncIterator]() {
    const result = this.#begin('run');
    for (let text; (text = await this.#native.nextEvents(LOOP)) !== null; ) yield* JSON.parse(text);
    await result;
  }

  /** Cancels the job if it still runs. */
  [asyncDispose]() {
    return this.cancel();
  }

  /** Runs one entry point with a new job. */
  static async runOnce(method, source, target, options) {
    return new CloneJob(source, target, options).#begin(method);
  }

  #begin(method) {
    if (this.#result === undefined) {
      this.#result = this.#run(method);
      // Avoids an unhandled rejection if nothing awaits the job.
      this.#result.catch(() => {});
    }
    return this.#result;
  }

  async #run(method) {
    const { signal, onEvent } = this.#local;
    signal?.throwIfAborted();
    const abort = () => this.#native.cancel();
    signal?.addEventListener('abort', abort, { once: true });
    signals.register(this);
    try {
      const helpers = [this.#answerCalls(), onEvent && this.#deliverEvents(onEvent)];
      const outcome = JSON.parse(await this.#native.run(method));
      await Promise.all(helpers);
      if ('done' in outcome) return outcome.done;
      throw this.#failure(outcome.failed);
    } finally {
      signals.unregister(this);
      signal?.removeEventListener('abort', abort);
    }
  }

  #failure(values) {
    const { signal } = this.#local;
    const thrown = values.kind === 'cancelled'
      ? this.#listenerError
      : this.#callbackErrors.find(({ message }) => message === values.message);
    const error = errorFromJson(values, thrown?.error);
    if (error.code !== 'CANCELLED' || this.#listenerError || !signal?.aborted) return error;
    // The message of the clean-up is reported too.
    if ('not cleaned up' in error.context) return Object.assign(error, { cause: signal.reason });
    return signal.reason;
  }

  /** Delivers events to the listener, one at a time. */
  async #deliverEvents(listener) {
    try {
      for (let text; (text = await this.#native.nextEvents(LISTENER)) !== null; ) {
        for (const event of JSON.parse(text)) {
          const pause = listener(event);
          if (pause !== undefined) await pause;
        }
      }
    } catch (error) {
      this.#listenerError = { error };
      this.#native.cancel();
    }
  }

  /** Answers the job's calls to the user's code. */
  async #answerCalls() {
    for (let call; (call = await this.#native.nextCall()) !== null; ) this.#answer(call);
  }

  async #answer({ id, method, body, data }) {
    try {
      const answer = await this.#call(method, JSON.parse(body), data);
      if (id !== 0) this.#native.answer(id, JSON.stringify(answer ?? null));
    } catch (error) {
      const values = errorToJson(error);
      this.#callbackErrors.push({ error, message: values.message });
      // Errors of successful retries are ignored; several calls may run at once.
      if (this.#callbackErrors.length > MAX_CALLBACK_ERRORS) this.#callbackErrors.shift();
      if (id !== 0) this.#native.fail(id, JSON.stringify(values));
    }
  }

  async #call(method, body, data) {
    if (method === 'selector') {
      const chosen = await this.#local.selector(body);
      if (typeof chosen !== 'boolean') throw new TypeError(`it gave ${chosen} for ${body.name}, and says true or false`);
      return chosen;
    }
    if (method === 'question') return (await this.#local.onQuestion(body)) ?? null;
    if (method === 'release') return Promise.all(Object.values(this.#ends).map((end) => end.release(body)));
    const [side, name] = method.split('.');
    return this.#ends[side].call(name, body, data);
  }
}

const runOnce = CloneJob.runOnce;
delete CloneJob.runOnce;

module.exports = { CloneJob, runOnce, splitOptions };
