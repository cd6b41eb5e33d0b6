import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { CircuitBreaker, type Permit } from './circuit-breaker.ts'

function create() {
  let ms = 0
  const breaker = new CircuitBreaker(() => ms)
  return {
    breaker,
    pass: (time: number) => (ms += time),
    /** One call that ends at once; whether it was let through. */
    call(failed: boolean): boolean {
      const permit = breaker.admit()
      if (permit !== undefined) breaker.report(permit, failed)
      return permit !== undefined
    },
    many(count: number, failed: boolean) {
      for (let n = 0; n < count; n++) this.call(failed)
    },
    open() {
      this.many(20, true)
    },
  }
}

describe('a circuit breaker', () => {
  test('stays closed below twenty calls, and opens with the twentieth', () => {
    const circuit = create()
    circuit.many(19, true)
    expect(circuit.breaker.waitMs).toBe(0)
    expect(circuit.call(true)).toBe(true)
    expect(circuit.breaker.waitMs).toBe(10_000)
    expect(circuit.call(true)).toBe(false)
  })

  test.each([
    [11, 9, false],
    [10, 10, true],
    [5, 15, true],
  ])('of %i successes and %i failures: open is %s', (successes, failures, opens) => {
    const circuit = create()
    circuit.many(successes, false)
    circuit.many(failures, true)
    expect(circuit.call(false)).toBe(!opens)
  })

  test('forgets what ended more than thirty seconds ago', () => {
    const circuit = create()
    circuit.many(19, true)
    circuit.pass(30_000)
    circuit.many(19, true)
    expect(circuit.breaker.waitMs).toBe(0)
  })

  test('lets one call through every ten seconds while open, even if the one before hangs', () => {
    const circuit = create()
    const { breaker, pass } = circuit
    circuit.open()
    pass(9999)
    expect(breaker.admit()).toBeUndefined()
    pass(1)
    expect(breaker.admit()).toBeDefined()
    expect(breaker.admit()).toBeUndefined()
    pass(10_000)
    expect(breaker.admit()).toBeDefined()
    expect(breaker.admit()).toBeUndefined()
  })

  test('is closed by a call that succeeds while it is open, and starts to count anew', () => {
    const circuit = create()
    circuit.open()
    circuit.pass(10_000)
    expect(circuit.call(true)).toBe(true)
    expect(circuit.call(false)).toBe(false)
    circuit.pass(10_000)
    expect(circuit.call(false)).toBe(true)
    circuit.many(19, true)
    expect(circuit.breaker.waitMs).toBe(0)
  })

  test('hears nothing from calls that began before it changed', () => {
    const circuit = create()
    const early = Array.from({ length: 25 }, () => circuit.breaker.admit()) as Permit[]
    circuit.open()
    expect(circuit.breaker.report(early[0]!, false)).toBeUndefined()
    expect(circuit.call(false)).toBe(false)
    circuit.pass(10_000)
    circuit.call(false)
    for (const permit of early) circuit.breaker.report(permit, true)
    expect(circuit.breaker.waitMs).toBe(0)
  })

  test('opens exactly by the rule, and lets through no more than one call per ten seconds', () => {
    const step = fc.record({ pass: fc.integer({ min: 0, max: 4000 }), failed: fc.boolean() })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const circuit = create()
        let ms = 0
        let ended: { at: number; failed: boolean }[] = []
        let lastAdmitted: number | undefined
        for (const { pass, failed } of steps) {
          circuit.pass(pass)
          ms += pass
          const expected = lastAdmitted === undefined || ms - lastAdmitted >= 10_000
          expect(circuit.call(failed)).toBe(expected)
          if (!expected) continue
          if (lastAdmitted !== undefined) {
            lastAdmitted = failed ? ms : undefined
            ended = []
            continue
          }
          ended = [...ended, { at: ms, failed }].filter(({ at }) => ms - at < 30_000)
          const failures = ended.filter((call) => call.failed).length
          if (failed && ended.length >= 20 && failures * 2 >= ended.length) lastAdmitted = ms
        }
      }),
      { numRuns: 300 },
    )
  })
})
