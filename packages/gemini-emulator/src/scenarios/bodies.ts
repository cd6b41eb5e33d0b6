import { answer, imagePart, leadingText } from '../answer.ts'
import type { AnswerBody } from '../answer.ts'
import type { Call } from '../call.ts'
import { errorBody } from '../google-error.ts'
import { FILLER } from '../reply.ts'
import type { Ending, RawReply } from '../reply.ts'
import { defineScenarios, ok } from './define.ts'
import type { ScenarioDefinition } from './define.ts'

const HTML = '<!DOCTYPE html>\n<html><title>Error</title><p>The server made a mistake.</p></html>\n'

/** Answers whose body, status or way of ending is wrong. */
export const BODY_SCENARIOS = defineScenarios({
  'ok-with-error': {
    summary: '200 with a top-level `error`',
    reply: () => ({
      kind: 'json',
      status: 200,
      body: errorBody(503, 'UNAVAILABLE', 'The model is overloaded. Please try again later.'),
    }),
  },
  'empty-object': raw('200 `{}`', { text: '{}' }),
  'null-body': raw('200 `null`', { text: 'null' }),
  'empty-body': raw('200 without a byte', { text: '' }),
  html: raw('200 with HTML', { text: HTML, contentType: 'text/html' }),
  'no-content': raw('204', { text: '', status: 204, contentType: '' }),
  'not-modified': raw('304', { text: '', status: 304, contentType: '' }),
  'error-html': raw('502 (`status`) with HTML', {
    text: HTML,
    contentType: 'text/html',
    status: 502,
  }),
  'error-bad-json': raw('500 (`status`) of JSON type, broken JSON', {
    text: '{"error":{"code":500,"mess',
    status: 500,
  }),
  raw: raw('any answer by `status`, `contentType` and `body`', { text: '' }),
  redirect: {
    summary: '307 (`status`) to `location`, by default the second origin',
    defaults: { status: 307 },
    reply: ({ settings, redirectUrl }) => ({
      kind: 'raw',
      status: settings.status ?? 307,
      contentType: 'text/html; charset=UTF-8',
      text: '',
      headers: { location: settings.location ?? redirectUrl },
    }),
  },
  truncated: ending('half of the body, then a proper end', 'truncated'),
  'reset-mid-body': ending('half of the body, then RST', 'reset'),
  'fin-mid-body': ending('half of the body, then FIN', 'fin'),
  stall: ending('half of the body, then silence', 'stall'),
  endless: {
    ...ending('half of the body, then a space every `pauseMs` (50) for ever', 'endless'),
    defaults: { pauseMs: 50 },
  },
  oversize: {
    summary: 'a good answer with a streamed thoughtSignature of `bytes` (32 MiB)',
    defaults: { bytes: 32 * 1024 * 1024 },
    reply: async (call) => ok(await answerWithFiller(call), { fillerBytes: call.settings.bytes }),
  },
  'slow-headers': {
    ...ending('success after `delayMs` (1000)', 'complete'),
    defaults: { delayMs: 1000 },
  },
  'slow-body': {
    ...ending('success in ten slices, `pauseMs` (100) apart', 'complete'),
    defaults: { pauseMs: 100 },
  },
  'reset-before-headers': {
    summary: 'RST in place of an answer',
    reply: () => ({ kind: 'hang-up', how: 'reset' }),
  },
  'fin-before-headers': {
    summary: 'FIN in place of an answer',
    reply: () => ({ kind: 'hang-up', how: 'fin' }),
  },
  silence: {
    summary: 'takes the request and never answers',
    reply: () => ({ kind: 'hang-up', how: 'silence' }),
  },
})

function raw(
  summary: string,
  reply: Pick<RawReply, 'text'> & Partial<RawReply>,
): ScenarioDefinition {
  return {
    summary,
    reply: ({ settings }) => ({
      kind: 'raw',
      status: settings.status ?? reply.status ?? 200,
      contentType: settings.contentType ?? reply.contentType ?? 'application/json; charset=UTF-8',
      text: settings.body ?? reply.text,
    }),
  }
}

function ending(summary: string, how: Ending): ScenarioDefinition {
  return { summary, reply: async (call) => ok(await goodAnswer(call), { ending: how }) }
}

async function goodAnswer(call: Call): Promise<AnswerBody> {
  return answer(call, [...leadingText(call), await imagePart(call)])
}

async function answerWithFiller(call: Call): Promise<AnswerBody> {
  const part = { ...(await imagePart(call)), thoughtSignature: FILLER }
  return answer(call, [...leadingText(call), part])
}
