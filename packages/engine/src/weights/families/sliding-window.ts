import { UnsupportedModelError } from '../errors.ts'
import { type Fields, ranges } from '../fields.ts'

/** Mistral: every layer looks back `sliding_window` positions, or all of them if it is null. */
export function everyLayerWindow(fields: Fields): number | null {
  return fields.has('sliding_window') ? fields.integer('sliding_window', ranges.context) : null
}

/**
 * Qwen: `sliding_window` counts only if `use_sliding_window` is set, and then in layers from `max_window_layers`
 * on (or as `layer_types` says).
 *
 * @throws UnsupportedModelError if some layers have a window and others not
 */
export function optionalWindow(fields: Fields): number | null {
  const windowed = windowedLayers(fields)
  if (!windowed.includes(true)) return null
  if (!windowed.includes(false)) return everyLayerWindow(fields)
  throw new UnsupportedModelError(
    fields.file,
    `gives a sliding window to ${windowed.filter(Boolean).length} of ${windowed.length} layers`,
    'This engine runs models whose layers all have the same window.',
  )
}

function windowedLayers(fields: Fields): readonly boolean[] {
  const layers = fields.integer('num_hidden_layers', ranges.layers)
  const types = fields.raw('layer_types')
  if (types !== null) {
    const known = ['full_attention', 'sliding_attention']
    if (!Array.isArray(types) || types.length !== layers || !types.every((type) => known.includes(type))) {
      throw fields.error('layer_types', types, `a list of ${layers} times ${known.join(' or ')}`)
    }
    return types.map((type) => type === 'sliding_attention')
  }
  const used = fields.boolean('use_sliding_window', false) && fields.has('sliding_window')
  const first = fields.integer('max_window_layers', { min: 0, max: ranges.layers.max }, 0)
  return Array.from({ length: layers }, (_, layer) => used && layer >= first)
}
