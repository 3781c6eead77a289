import { Moon, Sun } from 'lucide-react'
import { Button } from '../components/button.tsx'
import { Menu, MenuRadio } from '../components/menu.tsx'
import { setTheme, type Theme, useColorScheme, useTheme } from '../data/theme.ts'

const options = [
  ['system', 'As the system'],
  ['light', 'Light'],
  ['dark', 'Dark'],
] as const satisfies readonly (readonly [Theme, string])[]

export function ThemeMenu() {
  const theme = useTheme()
  const Icon = useColorScheme() === 'dark' ? Moon : Sun
  return (
    <Menu
      trigger={
        <Button look="quiet" size="icon" aria-label="Colours">
          <Icon aria-hidden="true" />
        </Button>
      }
    >
      <MenuRadio value={theme} onValue={(value) => setTheme(value as Theme)} options={options} />
    </Menu>
  )
}
