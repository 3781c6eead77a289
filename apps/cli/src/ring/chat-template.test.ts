import { expect, test } from 'vitest'
import { isInstruct } from './chat-template.ts'

test('only a template that tells roles apart makes an instruct model', () => {
  expect(isInstruct(null)).toBe(false)
  expect(isInstruct("{% for message in messages %}{{ message['content'] }}{% endfor %}")).toBe(false)
  expect(isInstruct('{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}{% endfor %}')).toBe(
    true,
  )
})
