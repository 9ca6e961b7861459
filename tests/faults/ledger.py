"""What clients know of their images, and whether the service still agrees.

A client writes down what it is about to ask for, asks, and then writes down what it was told. Where no answer
comes, or a 503, it does not know, and both are right until it sees which.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tests.api.client import Answer, ApiClient
from tests.pictures import picture, sha256_of

PICTURES = [picture(size=(60 * n, 50 * n), noise=True, seed=n) for n in range(1, 9)]


@dataclass
class Ledger:
    """What was asked for, and what was acknowledged. `wrong` has every answer that was not true."""

    asked: dict[str, str] = field(default_factory=dict)  # digests of what is to be published, by title
    published: dict[str, str] = field(default_factory=dict)  # digests of what was acknowledged, by id
    titles: dict[str, str] = field(default_factory=dict)  # by id
    descriptions: dict[str, set[str]] = field(default_factory=dict)  # what each image may say of itself, by id
    doubtful: set[str] = field(default_factory=set)  # asked to be deleted, without an answer
    deleted: set[str] = field(default_factory=set)  # acknowledged, or seen to be gone
    wrong: list[str] = field(default_factory=list)

    def acknowledge(self, image_id: str, title: str) -> None:
        """Write down that an image is published."""
        self.published[image_id], self.titles[image_id] = self.asked[title], title
        self.descriptions.setdefault(image_id, {""})

    def forget(self, image_id: str) -> None:
        """Write down that an image is deleted, for good."""
        del self.published[image_id]
        self.doubtful.discard(image_id)
        self.deleted.add(image_id)

    async def audit(self, api: ApiClient, *, bytes_too: bool = True, **filters: Any) -> list[str]:
        """Return what is wrong with what is shown, all answers that were untrue included.

        What was open until now and is settled by what is shown is written down.
        """
        shown = {image["image_id"]: image for image in await api.walk(**filters)}
        for image_id, image in shown.items():
            self.wrong += self._wrong_with(image_id, image)
            if bytes_too:
                self.wrong += await _wrong_bytes(api, image)
        self._settle(shown)
        if len({image["title"] for image in shown.values()}) != len(shown):
            self.wrong.append("5: one request made two images")
        if bytes_too:
            for image_id in self.deleted:
                if (await api.get(f"/images/{image_id}")).status != 404:
                    self.wrong.append(f"4: {image_id} was deleted, and is there")
        return self.wrong

    def _settle(self, shown: Mapping[str, Mapping[str, Any]]) -> None:
        """Write down what was asked for without an answer, and has been done; or what cannot be."""
        for image_id in self.published.keys() - shown.keys():
            if image_id in self.doubtful:
                self.forget(image_id)
            else:
                self.wrong.append(f"2: {image_id} was acknowledged, and is not there")
        for image_id in shown.keys() - self.published.keys() - self.deleted:
            if (title := shown[image_id]["title"]) in self.asked:
                self.acknowledge(image_id, title)
                self.descriptions[image_id] = {shown[image_id]["description"]}

    def _wrong_with(self, image_id: str, image: Mapping[str, Any]) -> list[str]:
        wrong = []
        if image_id in self.deleted:
            wrong.append(f"4: {image_id} was deleted, and is shown")
        elif self.asked.get(image["title"]) != image["sha256"]:
            wrong.append(f"7: {image_id} is shown, with bytes that nobody asked to publish")
        elif image_id in self.published and image["title"] != self.titles[image_id]:
            wrong.append(f"6: {image_id} has another title")
        elif image_id in self.published and image["description"] not in self.descriptions[image_id]:
            wrong.append(f"2: {image_id} does not say what it was told to")
        return wrong


async def _wrong_bytes(api: ApiClient, image: Mapping[str, Any]) -> list[str]:
    downloaded = await api.download(image["image_id"])
    if downloaded.status == 200 and sha256_of(downloaded.body) == image["sha256"]:
        return []
    return [f"1: {image['image_id']} is READY, and does not have its bytes: {downloaded.outcome}"]


@dataclass
class Visitor:
    """One user's client. It does one thing after the other, and writes it down."""

    api: ApiClient
    ledger: Ledger
    chance: random.Random
    user: str
    requests: int = 0

    async def do_something(self) -> None:
        """Do one thing that users do. Raises what `api` raises when nobody answers."""
        ways = [self.upload, self.upload_directly]
        if self.has_some():
            ways += [self.upload, self.upload_directly, self.edit, self.delete, self.look, self.intrude]
        await self.chance.choice(ways)()

    def has_some(self) -> bool:
        """Return whether there are images that are this user's for certain."""
        return any(map(self._is_mine, self.ledger.published))

    def _is_mine(self, image_id: str) -> bool:
        return image_id not in self.ledger.doubtful and self.ledger.titles[image_id].startswith(f"{self.user}, ")

    def mine(self) -> str:
        """Return one of the images that are this user's for certain."""
        return self.chance.choice(sorted(each for each in self.ledger.published if self._is_mine(each)))

    def _planned(self, data: bytes) -> dict[str, Any]:
        self.requests += 1
        details = {"title": f"{self.user}, number {self.requests}", "user_id": self.user}
        self.ledger.asked[details["title"]] = sha256_of(data)
        return details

    def told(self, answer: Answer, *right: int) -> bool:
        """Return whether it was done; write down an answer that is neither that nor "not now"."""
        if answer.status not in {*right, 503, 507}:
            self.ledger.wrong.append(f"an untrue answer: {answer.outcome} in place of {right}")
        return answer.status in right

    async def upload(self, data: bytes | None = None) -> None:
        """Upload in one request."""
        data = data or self.chance.choice(PICTURES)
        details = self._planned(data)
        answer = await self.api.upload(data, **details)
        if self.told(answer, 201):
            self.ledger.acknowledge(answer.json["image_id"], details["title"])

    async def upload_with_a_key(self, key: str) -> None:
        """Upload in one request that may have been sent before: it makes one image, none once that is gone."""
        title = f"{self.user}, {key}"
        self.ledger.asked[title] = sha256_of(PICTURES[0])
        keyed = replace(self.api, headers={"Idempotency-Key": key})
        answer = await keyed.upload(PICTURES[0], title=title, user_id=self.user)
        # Unanswered, its claim may still be held by a request of a server that was killed.
        if self.told(answer, 201, 409) and answer.status == 201:
            image_id = answer.json["image_id"]
            if image_id not in self.ledger.deleted | self.ledger.published.keys():
                self.ledger.acknowledge(image_id, title)

    async def upload_directly(self) -> None:
        """Upload in three requests."""
        data = self.chance.choice(PICTURES)
        details = self._planned(data)
        begun = await self.api.begin(data, **details)
        if not self.told(begun, 201):
            return
        image_id = begun.json["image_id"]
        if not self.told(await self.api.transfer(begun.json["upload"], data), 200):
            return
        hidden = await self.api.get(f"/images/{image_id}", params={"metadata_only": "true"})
        if self.told(hidden, 404) and self.told(await self.api.complete(image_id), 200):
            self.ledger.acknowledge(image_id, details["title"])

    async def edit(self) -> None:
        """Change what an image says of itself."""
        image_id, description = self.mine(), f"edited {self.chance.randrange(10**9)}"
        self.ledger.descriptions[image_id].add(description)
        change = {"user_id": self.user, "description": description}
        if self.told(await self.api.patch(f"/images/{image_id}", change), 200):
            self.ledger.descriptions[image_id] = {description}

    async def delete(self) -> None:
        """Delete an image."""
        image_id = self.mine()
        self.ledger.doubtful.add(image_id)
        if self.told(await self.api.delete(f"/images/{image_id}", {"user_id": self.user}), 200):
            self.ledger.forget(image_id)

    async def look(self) -> None:
        """Look at an image, and at the list that it is in."""
        image_id = self.mine()
        seen = await self.api.get(f"/images/{image_id}")
        if self.told(seen, 200) and seen.json["metadata"]["sha256"] != self.ledger.published[image_id]:
            self.ledger.wrong.append(f"1: {image_id} has other bytes")
        self.told(await self.api.get("/images", params={"user_id": self.user, "limit": 5}), 200)

    async def intrude(self) -> None:
        """Try to change an image as somebody else."""
        image_id = self.mine()
        self.told(await self.api.delete(f"/images/{image_id}", {"user_id": "mallory"}), 403)
        self.told(await self.api.patch(f"/images/{image_id}", {"user_id": "mallory", "title": "Mine"}), 403)
