import { expect, test } from 'vitest'
import { Slots } from './slots.ts'

const holder = (name: string) => ({ kind: 'account', name, share: 0.25 })

test('a holder has its share and no more, rounded up', () => {
  const slots = new Slots(10)
  for (let n = 0; n < 3; n++) {
    expect(slots.isUsedUp(holder('one'))).toBe(false)
    slots.take([holder('one')])
  }
  expect(slots.isUsedUp(holder('one'))).toBe(true)
  expect(slots.isUsedUp(holder('other'))).toBe(false)
  slots.give([holder('one')])
  expect(slots.isUsedUp(holder('one'))).toBe(false)
})

test('names of two kinds do not meet', () => {
  const slots = new Slots(4)
  slots.take([holder('same')])
  expect(slots.isUsedUp({ ...holder('same'), kind: 'address' })).toBe(false)
})

test('it is full when every place is taken, and empty when all are given back', () => {
  const slots = new Slots(2)
  slots.take([holder('one')])
  expect(slots.isFull).toBe(false)
  slots.take([])
  expect(slots.isFull).toBe(true)
  slots.give([])
  slots.give([holder('one')])
  expect(slots.taken).toBe(0)
})
