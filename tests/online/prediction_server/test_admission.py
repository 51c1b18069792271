import asyncio
import threading

import pytest

from lib.online.prediction_server.admission import Admission
from lib.online.prediction_server.protocol import RequestError


def test_more_than_the_queue_holds_is_refused_at_once_and_all_else_is_done():
    async def main():
        admission, go, ran = Admission(workers=1, queue=2), threading.Event(), []

        def work(i):
            go.wait(5)
            ran.append(i)
            return i

        tasks = [
            asyncio.create_task(admission.run(lambda i=i: work(i), seconds=5)) for i in range(3)
        ]
        await asyncio.sleep(0.05)
        assert admission.full and admission.waiting == 2
        with pytest.raises(RequestError, match="saturated: 2 requests wait") as error:
            await admission.run(lambda: work(3), seconds=5)
        assert (error.value.status, error.value.kind) == (503, "shed")
        go.set()
        assert await asyncio.gather(*tasks) == [0, 1, 2] == ran
        assert not admission.full and admission.waiting == 0
        admission.close()

    asyncio.run(main())


def test_what_waited_beyond_its_deadline_is_not_computed():
    async def main():
        admission, go, ran = Admission(workers=1, queue=5), threading.Event(), []
        first = asyncio.create_task(admission.run(lambda: go.wait(5), seconds=5))
        await asyncio.sleep(0.02)
        with pytest.raises(RequestError, match="deadline of 50 ms has passed") as error:
            await admission.run(lambda: ran.append(1), seconds=0.05)
        assert (error.value.status, error.value.kind) == (504, "deadline")
        go.set()
        assert await first
        assert await admission.run(lambda: 7, seconds=5) == 7
        assert ran == []
        admission.close()

    asyncio.run(main())


def test_work_that_runs_over_its_deadline_holds_its_place_until_it_ends():
    async def main():
        admission, go = Admission(workers=1, queue=0), threading.Event()
        with pytest.raises(RequestError, match="deadline"):
            await admission.run(lambda: go.wait(5), seconds=0.02)
        assert admission.full  # its thread is still busy
        go.set()
        while admission.full:
            await asyncio.sleep(0.01)
        assert await admission.run(lambda: 7, seconds=1) == 7
        admission.close()

    asyncio.run(main())


def test_what_the_work_raises_is_raised():
    async def main():
        admission = Admission(workers=1, queue=0)
        with pytest.raises(ZeroDivisionError):
            await admission.run(lambda: 1 / 0, seconds=1)
        assert await admission.run(lambda: 7, seconds=1) == 7
        admission.close()

    asyncio.run(main())
