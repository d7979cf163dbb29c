"""The clocks of decisions and of files, as the workers have them: to set the clock of the machine makes nothing old."""

from migration.clock import SteadyClock as SteadyClock
from migration.clock import utc_now as utc_now
