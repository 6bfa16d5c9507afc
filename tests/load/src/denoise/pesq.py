"""PESQ of what denoise-table has kept: python3 pesq.py DIRECTORY RATE

Prints the name of each file and its MOS-LQO (ITU-T P.862.1), by PyPI's `pesq`."""

import pathlib
import sys
import wave

import numpy
import pesq


def samples(path):
    with wave.open(str(path)) as file:
        return numpy.frombuffer(file.readframes(file.getnframes()), "<i2").astype("f4") / 32768


directory, rate = pathlib.Path(sys.argv[1]), int(sys.argv[2])
for said in sorted(directory.glob("*-said.wav")):
    item = said.name.removesuffix("-said.wav")
    for heard in sorted(directory.glob(item + "-*.wav")):
        if heard != said:
            print(heard.stem, pesq.pesq(rate, samples(said), samples(heard), "nb"), flush=True)
