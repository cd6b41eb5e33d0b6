import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'

import { findMarker, InvalidScenarioError, parseScenario } from './scenario.ts'
import { SCENARIOS } from './scenarios/table.ts'
import { createScript } from './script.ts'

test('a scenario is a name or an object with known settings', () => {
  expect(parseScenario('overloaded')).toEqual({ name: 'overloaded' })
  expect(parseScenario({ delayMs: 5 })).toEqual({ name: 'success', delayMs: 5 })
  expect(parseScenario({ name: 'raw', headers: { 'retry-after': '3' } })).toHaveProperty('headers')
})

test.each([
  ['oops', 'There is no scenario "oops".'],
  ['toString', 'There is no scenario "toString".'],
  [null, 'A scenario is a name or an object.'],
  [{ delay: 5 }, 'A scenario has no setting "delay".'],
  [{ delayMs: '5' }, 'The setting `delayMs` wants: number.'],
  [{ delayMs: -1 }, 'The setting `delayMs` wants: number.'],
  [{ headers: { a: 1 } }, 'The setting `headers` wants: headers.'],
  [{ content: 'none' }, 'The setting `content` wants: empty, role, null-parts, absent.'],
  [{ times: 0 }, '`times` must be a positive integer.'],
])('%o is refused: %s', (input, message) => {
  expect(() => parseScenario(input)).toThrow(new InvalidScenarioError(message))
})

test('a marker names a scenario and its settings', () => {
  expect(findMarker('a banana [[overloaded]]')).toEqual({ name: 'overloaded' })
  expect(findMarker('[[slow-body pauseMs=5 gzip=true]] x')).toEqual({
    name: 'slow-body',
    pauseMs: 5,
    gzip: true,
  })
  expect(findMarker('[[refused content=absent finishMessage=]]')).toMatchObject({
    finishMessage: '',
  })
})

test('an unknown marker is ordinary text', () => {
  expect(findMarker('a [[wiki-link]] and a [[constructor]]')).toBeUndefined()
  expect(findMarker('a [[wiki-link]] and [[internal]]')).toEqual({ name: 'internal' })
})

test('a marker wins over the queue, and the queue over the default', () => {
  const script = createScript('no-image')
  script.enqueue(['internal', { name: 'overloaded', times: 2 }])
  const names = ['', '', '[[text-only]]', '', ''].map((prompt) => script.take(prompt).name)
  expect(names).toEqual(['internal', 'overloaded', 'text-only', 'overloaded', 'no-image'])
})

test('a marker with times serves only the first requests of its prompt', () => {
  const script = createScript()
  const prompt = 'one [[overloaded times=2]]'
  const names = [prompt, prompt, 'two [[overloaded times=2]]', prompt].map(
    (text) => script.take(text).name,
  )
  expect(names).toEqual(['overloaded', 'overloaded', 'overloaded', 'success'])
})

test('a queue with a mistake in it is refused as a whole', () => {
  const script = createScript()
  expect(() => script.enqueue(['internal', 'oops'])).toThrow(InvalidScenarioError)
  expect(script.queued()).toBe(0)
})

test('every scenario is in the README, and nothing else', () => {
  const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8')
  const rows = [...readme.matchAll(/^\| `([a-z0-9-]+)` +\| (.*?) *\|$/gm)].map((row) => [
    row[1],
    row[2],
  ])
  const table = Object.entries(SCENARIOS).map(([name, { summary }]) => [name, summary])
  expect(rows).toEqual(table)
})
