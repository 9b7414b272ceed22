#!/usr/bin/env python3
"""Django's own command line for the project `board`."""

import os
import sys

from django.core.management import execute_from_command_line

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "board.settings")
execute_from_command_line(sys.argv)
